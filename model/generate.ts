// Streaming generation: prefill in chunks, then one token at a time from the cache.
import { isSingle } from "../engine/index.ts"
import type { ModelConfig } from "./config.ts"
import type { Session } from "./session.ts"
import type { Tokenizer } from "./tokenizer/index.ts"

export interface GenerateOptions {
  /** Most tokens to generate; default: as many as the cache holds. */
  readonly maxNewTokens?: number
  /** 0 takes the most likely token; default 0. */
  readonly temperature?: number
  /** Only the k most likely tokens; 0, the default, means all. */
  readonly topK?: number
  /** Only the most likely tokens that together have this probability; default 1, all. */
  readonly topP?: number
  /** Seed of the sampling; default 0. Equal seeds give equal tokens. */
  readonly seed?: number
  /** Tokens after which to end; the token itself is still yielded. Default: end of text, by the
   *  model's config and by its tokenizer. */
  readonly stop?: readonly number[]
  /** Ends the generation by throwing the signal's reason. */
  readonly signal?: AbortSignal
}

export interface Token {
  readonly id: number
  /** The text that this token completes, in whole characters; empty without a tokenizer. */
  readonly text: string
}

/** Positions that one prefill step reads. */
export const prefillChunk = 512

export type Checked = Required<Omit<GenerateOptions, "signal">> & {
  readonly signal: AbortSignal | undefined
}

/** Options with the number of devices that were lost before it begins. */
type Begun = Checked & { readonly lost: number }

/** The options with defaults. Throws RangeError naming the value that is out of range. */
export function checkOptions(
  prompt: readonly number[],
  options: GenerateOptions,
  config: ModelConfig,
  capacity: number,
  tokenizer?: Tokenizer,
): Checked {
  checkPrompt(prompt, config, capacity)
  const room = capacity - prompt.length
  const ends = new Set([config.eosId, tokenizer?.eosId ?? config.eosId])
  const end = [...ends].filter((id) => id >= 0 && id < config.vocabSize)
  const { maxNewTokens = room, temperature = 0, topK = 0, topP = 1, seed = 0 } = options
  const { stop = end, signal } = options
  number("maxNewTokens", maxNewTokens, "a whole number from 0", Number.isInteger, 0)
  number("topK", topK, "a whole number from 0", Number.isInteger, 0)
  number("seed", seed, "a whole number from 0 to 4294967295", Number.isInteger, 0, 0xffffffff)
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
  if (!isList(stop))
    throw new TypeError(`generate: stop must be an array of token ids, got ${stop}`)
  for (const id of stop) checkToken(id, config)
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("generate: signal must be an AbortSignal")
  }
  if (maxNewTokens > room) {
    throw new RangeError(
      `generate: ${prompt.length} prompt tokens and ${maxNewTokens} new ones exceed the cache of ` +
        `${capacity}. Ask for at most ${room} new tokens, or load with a larger capacity`,
    )
  }
  return { maxNewTokens, temperature, topK, topP, seed, stop, signal }
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

function checkPrompt(prompt: readonly number[], config: ModelConfig, capacity: number): void {
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
        "Shorten the prompt, or load with a larger capacity",
    )
  }
  for (const id of prompt) checkToken(id, config)
}

export function checkToken(id: number, { vocabSize }: ModelConfig): void {
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return
  throw new RangeError(`token ids lie in 0 … ${vocabSize - 1}, got ${id}`)
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
  session.begin(options, options.lost)
  await prefill(session, prompt, signal)
  const inFlight: Promise<number>[] = []
  const begin = (step: Promise<number>): void => {
    // Whoever ends early does not wait for it.
    step.catch(() => undefined)
    inFlight.push(step)
  }
  begin(session.token())
  for (let begun = 1, n = 1; ; n++) {
    const id = (await inFlight.shift()) as number
    const isLast = n === maxNewTokens || stop.includes(id)
    // The first step prepares what the others need.
    const most = n === 1 ? 0 : session.ahead
    for (; !isLast && begun < maxNewTokens && inFlight.length < most; begun++) {
      begin(session.decode())
    }
    yield { id, text: textOf(id, isLast) }
    if (isLast) return
    await nextTurn()
    signal?.throwIfAborted()
    if (inFlight.length === 0) {
      begin(session.decode())
      begun++
    }
  }
}

async function prefill(session: Session, prompt: readonly number[], signal?: AbortSignal) {
  for (let start = 0; start < prompt.length; start += prefillChunk) {
    const chunk = prompt.slice(start, start + prefillChunk)
    await session.prefill(chunk, start, start + chunk.length === prompt.length)
    await nextTurn()
    signal?.throwIfAborted()
  }
}

/** Lets timers, signals and input have their turn: steps run without one. */
export function nextTurn(): Promise<void> {
  if (typeof setImmediate === "function") return new Promise((resolve) => setImmediate(resolve))
  const { port1, port2 } = new MessageChannel()
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(undefined)
  })
}
