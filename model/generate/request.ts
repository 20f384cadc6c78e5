// A prompt and how it goes on, as they were checked.
import { checkObject } from "../../engine/index.ts"
import type { Tokenizer } from "../tokenizer/index.ts"
import type { CompleteOptions, Prompt } from "./complete.ts"
import type { Request } from "./completion.ts"
import { checkOptions, type GenerateOptions } from "./options.ts"
import { checkedCache } from "./prompt_cache.ts"
import { anglesOf } from "./slide.ts"
import type { Source } from "./source.ts"
import { continuation, promptIds } from "./text.ts"

/** Options of whole continuations alone. */
const ofWhole = [
  ...(["numReturnSequences", "echo", "batchSize"] as const),
  ...(["numBeams", "lengthPenalty", "earlyStopping"] as const),
] satisfies readonly (keyof CompleteOptions)[]

/** What a stream is asked for. Throws TypeError for options that it cannot have. */
export function streamRequest(
  source: Source,
  tokenizer: Tokenizer | undefined,
  prompt: Prompt,
  options: GenerateOptions,
): Request {
  checkObject("generate: options", options)
  const given = options as CompleteOptions
  const whole = ofWhole.find((name) => given[name] !== undefined)
  if (whole === undefined) {
    return requestOf(source, tokenizer, promptIds(prompt, tokenizer), options)
  }
  throw new TypeError(
    `generate: ${whole} is an option of complete, which gives whole continuations`,
  )
}

/** Continuation j of a request: its seed is one of its own, and so is the text of its tokens. */
export function reseeded(request: Request, j: number, tokenizer: Tokenizer | undefined): Request {
  const seed = (request.options.seed + j) % 2 ** 32
  const options = { ...request.options, seed }
  return { ...request, options, textOf: continuation(request.prompt, tokenizer) }
}

/** `isOnHost`: whoever asks chooses tokens from logits, whatever the options are. */
export function requestOf(
  source: Source,
  tokenizer: Tokenizer | undefined,
  prompt: readonly number[],
  options: GenerateOptions,
  isOnHost = false,
): Request {
  const { config } = source.decoder
  const { capacity } = source.options
  const checked = checkOptions(prompt, options, config, capacity, tokenizer, isOnHost)
  if (checked.overflow) anglesOf(source.decoder.weights, config)
  const promptCache = checkedCache(options.promptCache, source)
  return { prompt, options: checked, textOf: continuation(prompt, tokenizer), promptCache }
}
