// Streaming generation: prefill in chunks, then one token at a time from the cache.
import { checkWhole, isSingle } from "../../engine/index.ts"
import type { DecoderConfig } from "../architecture.ts"
import { show } from "../json.ts"
import type { Tokenizer } from "../tokenizer/index.ts"
import { samplingOf } from "./generation.ts"
import { Sequence } from "./sequence.ts"
import type { Session } from "./session.ts"
import { nextTurn } from "./turn.ts"

/** How a generation goes on, and where it ends. */
export interface GenerateOptions {
  /** Most tokens to generate; default: as many as the cache holds. */
  readonly maxNewTokens?: number
  /** 0 takes the most likely token; default 0. For this and the next two the defaults of the model's
   *  generation_config.json come first (generation.ts). */
  readonly temperature?: number
  /** Only the k most likely tokens; 0, the default, means all. */
  readonly topK?: number
  /** Only the most likely tokens that together have this probability; default 1, all. */
  readonly topP?: number
  /** Seed of the sampling; default 0. Equal seeds give equal tokens. */
  readonly seed?: number
  /** Where to end: after token ids, which are still yielded, and before texts, of which nothing is.
   *  Default: end of text, by the model's generation_config.json, else its config.json, and by its
   *  tokenizer; given texts alone, also there. */
  readonly stop?: readonly (number | string)[]
  /** Ends the generation by throwing the signal's reason. */
  readonly signal?: AbortSignal
}

/** One token of a generation. */
export interface Token {
  readonly id: number
  /** The text that this token completes, in whole characters; empty without a tokenizer. */
  readonly text: string
}

export type Checked = Required<Omit<GenerateOptions, "signal" | "stop">> & {
  readonly signal: AbortSignal | undefined
  /** Ids after which to end, and texts before which to. */
  readonly stop: readonly number[]
  readonly stopTexts: readonly string[]
}

/** Options with the number of devices that were lost before it begins. */
type Begun = Checked & { readonly lost: number }

/** The options with defaults. Throws RangeError naming the value that is out of range. */
export function checkOptions(
  prompt: readonly number[],
  options: GenerateOptions,
  config: DecoderConfig,
  capacity: number,
  tokenizer?: Tokenizer,
): Checked {
  checkPrompt(prompt, config, capacity)
  const room = capacity - prompt.length
  const own = samplingOf(config)
  const { temperature = own.temperature, topK = own.topK, topP = own.topP } = options
  const end = endsOf(config, tokenizer)
  const { maxNewTokens = room, seed = 0, stop = end, signal } = options
  const sampling = { temperature, topK, topP, seed }
  checkWhole("generate: maxNewTokens", maxNewTokens, 0)
  checkSampling(sampling)
  const { ids, texts } = checkStop(stop, config, tokenizer)
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("generate: signal must be an AbortSignal")
  }
  if (maxNewTokens > room) {
    throw new RangeError(
      `generate: ${prompt.length} prompt tokens and ${maxNewTokens} new ones exceed the cache of ` +
        `${capacity}. Ask for at most ${room} new tokens${orMore(capacity, config)}`,
    )
  }
  const after = texts.length > 0 && ids.length === 0 ? end : ids
  return { ...sampling, maxNewTokens, stop: after, stopTexts: texts, signal }
}

type Sampling = Pick<Checked, "temperature" | "topK" | "topP" | "seed">

function checkSampling({ temperature, topK, topP, seed }: Sampling): void {
  checkWhole("generate: topK", topK, 0)
  checkWhole("generate: seed", seed, 0, 0xffffffff)
  number(
    "temperature",
    temperature,
    "0 or more (in f32: from 1.2e-38 to 3.4e38)",
    isSingle,
    0,
    Number.MAX_VALUE,
  )
  number(
    "topP",
    topP,
    "more than 0 and at most 1 (in f32: from 1.2e-38)",
    (x) => x > 0 && isSingle(x),
    0,
    1,
  )
}

/** Advice that helps only where the cache is smaller than it could be. */
const orMore = (capacity: number, { maxContext }: DecoderConfig): string =>
  capacity < maxContext ? `, or load with a capacity of up to ${maxContext}` : ""

/** Ids and texts. Throws TypeError for what is neither and for texts without a tokenizer, RangeError for
 *  ids that are none and for the empty text. */
function checkStop(
  stop: unknown,
  config: DecoderConfig,
  tokenizer: Tokenizer | undefined,
): { ids: number[]; texts: string[] } {
  const expected = "generate: stop must be an array of token ids and texts"
  if (!isList(stop)) throw new TypeError(`${expected}, got ${show(stop)}`)
  const [ids, texts]: [number[], string[]] = [[], []]
  for (const each of stop as Iterable<unknown>) {
    if (typeof each === "number") ids.push(each)
    else if (typeof each === "string") texts.push(each)
    else throw new TypeError(`${expected}, got ${show(each)} in it`)
  }
  for (const id of ids) checkToken(id, config, "generate: stop: ")
  if (texts.includes("")) {
    throw new RangeError("generate: stop holds an empty text, which is everywhere. Leave it out")
  }
  if (texts.length === 0 || tokenizer) return { ids, texts }
  throw new TypeError(
    `generate: stop holds the text ${show(texts[0])}, and this model has no tokenizer. Load it with ` +
      '{ tokenizer: "path/to/tokenizer.model" }, or give token ids',
  )
}

/** Tokens that end a text: by generation_config.json, else config.json, and by the tokenizer. */
function endsOf(config: DecoderConfig, tokenizer: Tokenizer | undefined): readonly number[] {
  const { generation, eosIds = [config.eosId], vocabSize } = config
  const ends = new Set([...(generation?.eosIds ?? eosIds), tokenizer?.eosId ?? -1])
  return [...ends].filter((id) => id >= 0 && id < vocabSize)
}

function number(
  name: string,
  value: unknown,
  expected: string,
  is: (x: number) => boolean,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): void {
  if (typeof value === "number" && is(value) && value >= least && value <= most) return
  throw new RangeError(`generate: ${name} must be ${expected}, got ${String(value)}`)
}

/** Whether a value holds numbers in order: an array, or a typed array. */
export const isList = (value: unknown): boolean =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))

function checkPrompt(prompt: readonly number[], config: DecoderConfig, capacity: number): void {
  if (prompt.length === 0)
    throw new RangeError("generate: the prompt is empty. Begin with the BOS token")
  if (prompt.length > config.maxContext) {
    throw new RangeError(
      `generate: a prompt of ${prompt.length} tokens exceeds the context of ${config.maxContext}`,
    )
  }
  if (prompt.length >= capacity) {
    throw new RangeError(
      `generate: ${prompt.length} prompt tokens leave no room in the cache of ${capacity}. ` +
        `Shorten the prompt${orMore(capacity, config)}`,
    )
  }
  for (const id of prompt) checkToken(id, config)
}

/** Tokens that `score` can take. Throws RangeError. */
export function checkScored(ids: readonly number[], config: DecoderConfig, capacity: number): void {
  if (ids.length > capacity) {
    throw new RangeError(
      `score: ${ids.length} tokens exceed the cache of ${capacity}${orMore(capacity, config)}`,
    )
  }
  for (const id of ids) checkToken(id, config, "score: ")
}

export function checkToken(id: number, { vocabSize }: DecoderConfig, where = ""): void {
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return
  throw new RangeError(`${where}token ids lie in 0 … ${vocabSize - 1}, got ${id}`)
}

/** Runs a checked generation on a session that no one else uses meanwhile. Ids are read in arrears
 *  where the backend takes several steps at once; steps beyond the end are not looked at. */
export async function* run(
  session: Session,
  prompt: readonly number[],
  options: Begun,
  textOf: (id: number, isLast: boolean) => string,
): AsyncGenerator<Token, void, undefined> {
  const { maxNewTokens, stop, signal } = options
  signal?.throwIfAborted()
  if (maxNewTokens === 0) return
  const sequence = new Sequence(session, signal)
  sequence.sampleBy(options, options.lost)
  if (maxNewTokens > 1) session.prepareDecode()
  const inFlight: Promise<number>[] = []
  const begin = (step: Promise<number>): void => {
    // Whoever ends early does not wait for it.
    step.catch(() => undefined)
    inFlight.push(step)
  }
  begin(sequence.append(prompt, "next") as Promise<number>)
  for (let begun = 1, n = 1; ; n++) {
    const id = (await inFlight.shift()) as number
    const isLast = n === maxNewTokens || stop.includes(id)
    // The first step prepares what the others need.
    const most = n === 1 ? 0 : sequence.ahead
    for (; !isLast && begun < maxNewTokens && inFlight.length < most; begun++) {
      begin(sequence.next())
    }
    yield { id, text: textOf(id, isLast) }
    if (isLast) return
    await nextTurn()
    signal?.throwIfAborted()
    if (inFlight.length === 0) {
      begin(sequence.next())
      begun++
    }
  }
}
