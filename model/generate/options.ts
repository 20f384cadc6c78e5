// What a generation is asked for, checked, with the defaults of this engine and of the model's folder.
import { checkWhole, isSingle } from "../../engine/index.ts"
import type { Adapter } from "../adapters/adapter.ts"
import type { DecoderConfig } from "../architecture.ts"
import { show } from "../json.ts"
import type { Tokenizer } from "../tokenizer/index.ts"
import { checkDraft, type DraftChoice, type DraftOptions } from "./drafters.ts"
import { newTokensOf, samplingOf } from "./generation.ts"
import type { HostChoice, Sampler } from "./host.ts"
import { ContextLengthError, checkPrompt, checkToken, isList, orMore } from "./ids.ts"
import { type JsonOption, jsonChange } from "./json/index.ts"
import { chainOf, type ProcessorOptions } from "./processors/chain.ts"
import type { Change } from "./processors/processor.ts"
import type { PromptCache } from "./prompt_cache.ts"
import type { Sampling } from "./session.ts"
import { checkOverflow, type Overflow, type OverflowOptions } from "./slide.ts"

/** How a generation goes on, and where it ends. What options leave open, the model's
 *  generation_config.json says (generation.ts), then this engine's defaults. */
export interface GenerateOptions extends ProcessorOptions, DraftOptions, OverflowOptions {
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
  /** Where to end: after token ids, which are still yielded, and before texts, of which nothing is.
   *  Default: end of text, by the model's generation_config.json, else its config.json, and by its
   *  tokenizer; given texts alone, also there. */
  readonly stop?: readonly (number | string)[]
  /** Tells with each token how likely it was by the model's logits, and this many of the likeliest in
   *  its place. Tokens are then chosen on the host, as for the next two. */
  readonly logprobs?: number
  /** "object": the text is a JSON object; a JSON Schema: it keeps to that (json/schema.ts), its properties in their
   *  order. It ends where the value is whole; too few tokens leave a part of it. */
  readonly json?: JsonOption
  /** Alters the logits of the next token in place, after the processors that count always and before
   *  those that draw from fewer. Called for every token. */
  readonly logitsProcessor?: Change
  /** Chooses each token by what processors left of its logits, in place of `temperature`'s draw. */
  readonly sampler?: Sampler
  /** The adapter of this model that it goes through, null for its weights as they are; default that of
   *  `model.adapter`. Requests with different ones may run at once. */
  readonly adapter?: Adapter | null
  /** Keys and values of what was read before, of which the prompt's beginning is not read again; what
   *  is read now stays there. Of one continuation at a time. */
  readonly promptCache?: PromptCache
  /** Ends the generation by throwing the signal's reason. */
  readonly signal?: AbortSignal
}

export interface Checked extends Sampling {
  readonly maxNewTokens: number
  readonly signal: AbortSignal | undefined
  readonly overflow: Overflow | undefined
  /** How tokens are chosen where that is not on the device. */
  readonly host: HostChoice | undefined
  /** Who guesses tokens, if anybody does. */
  readonly draft: DraftChoice | undefined
  /** Ids after which to end, and texts before which to. */
  readonly stop: readonly number[]
  readonly stopTexts: readonly string[]
}

/** The options with defaults. Throws RangeError naming the value that is out of range, ContextLengthError,
 *  which is one, where prompt and new tokens have no room. */
export function checkOptions(
  prompt: readonly number[],
  options: GenerateOptions,
  config: DecoderConfig,
  capacity: number,
  tokenizer?: Tokenizer,
  isOnHost = false,
): Checked {
  checkNames(options)
  const overflow = checkOverflow(options, capacity)
  checkPrompt(prompt, config, overflow ? Number.POSITIVE_INFINITY : capacity)
  const room = overflow ? Number.MAX_SAFE_INTEGER : capacity - prompt.length
  const own = samplingOf(config)
  const { temperature = own.temperature, topK = own.topK, topP = own.topP } = options
  const end = endsOf(config, tokenizer)
  const asked = newTokensOf(config.generation, prompt.length) ?? Math.min(capacity, room)
  const { maxNewTokens = Math.min(asked, room), seed = 0, signal } = options
  const { stop = end } = options
  const sampling = { temperature, topK, topP, seed }
  checkWhole("generate: maxNewTokens", maxNewTokens, 0)
  checkSampling(sampling)
  const { ids, texts } = checkStop(stop, config, tokenizer)
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("generate: signal must be an AbortSignal")
  }
  if (maxNewTokens > room) {
    throw new ContextLengthError(
      `generate: ${prompt.length} prompt tokens and ${maxNewTokens} new ones exceed the cache of ` +
        `${capacity}. Ask for at most ${room} new tokens${orMore(capacity, config)}`,
      { promptTokens: prompt.length, newTokens: maxNewTokens, context: capacity },
    )
  }
  const after = texts.length > 0 && ids.length === 0 ? end : ids
  const all = { ...own, ...given(options), ...sampling }
  const draft = checkDraft(options, config)
  const host = hostChoice(all, config, tokenizer, isOnHost || draft !== undefined)
  return { ...sampling, maxNewTokens, stop: after, stopTexts: texts, signal, overflow, host, draft }
}

/** Throws TypeError for names as other programs write them, which would change nothing. */
function checkNames(options: GenerateOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || !name.includes("_")) continue
    const camel = name.replace(/_+([a-z])/g, (_, letter: string) => letter.toUpperCase())
    throw new TypeError(
      `generate: there is no option ${show(name)}. Names are in camelCase: ${camel}`,
    )
  }
}

/** Options without those that are undefined. */
const given = (options: GenerateOptions): GenerateOptions =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))

/** How tokens are chosen on the host; undefined where the device does. */
function hostChoice(
  options: GenerateOptions,
  { vocabSize: size }: DecoderConfig,
  tokenizer: Tokenizer | undefined,
  isOnHost: boolean,
): HostChoice | undefined {
  const { json, logitsProcessor, sampler, logprobs } = options
  for (const [name, hook] of Object.entries({ logitsProcessor, sampler })) {
    if (hook === undefined || typeof hook === "function") continue
    throw new TypeError(`generate: ${name} is ${show(hook)}, expected a function of the logits`)
  }
  if (logprobs !== undefined) checkWhole("generate: logprobs", logprobs, 0, size)
  const own = [
    ...(json === undefined ? [] : [jsonChange(json, tokenizer, "generate: json")]),
    ...(logitsProcessor ? [logitsProcessor] : []),
  ]
  const { changes, isOnDevice } = chainOf(options, { size, tokenizer }, own)
  if (!isOnHost && isOnDevice && !sampler && logprobs === undefined) return undefined
  return { changes, sampler, logprobs }
}

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
export function endsOf(config: DecoderConfig, tokenizer: Tokenizer | undefined): readonly number[] {
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
