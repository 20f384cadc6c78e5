// Token ids from outside, checked.
import type { DecoderConfig } from "../architecture.ts"

/** Whether a value holds numbers in order: an array, or a typed array. */
export const isList = (value: unknown): boolean =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))

/** A text that is longer than what the model, or its cache, has room for. Its name stays "RangeError", for
 *  those who tell errors by it. */
export class ContextLengthError extends RangeError {
  /** Tokens of the text, and those that were to come after it. */
  readonly promptTokens: number
  readonly newTokens: number
  /** Tokens that there is room for, of both. */
  readonly context: number

  constructor(
    message: string,
    {
      promptTokens,
      newTokens = 0,
      context,
    }: { readonly promptTokens: number; readonly newTokens?: number; readonly context: number },
  ) {
    super(message)
    this.promptTokens = promptTokens
    this.newTokens = newTokens
    this.context = context
  }
}

/** Throws ContextLengthError for a prompt after which no token fits, RangeError for none, and for ids that
 *  are none. */
export function checkPrompt(
  prompt: readonly number[],
  config: DecoderConfig,
  capacity: number,
): void {
  if (prompt.length === 0)
    throw new RangeError("generate: the prompt is empty. Begin with the BOS token")
  // Of a cache that slides, there is no end.
  const promptTokens = prompt.length
  const { maxContext } = config
  if (Number.isFinite(capacity) && promptTokens > maxContext) {
    throw new ContextLengthError(
      `generate: a prompt of ${promptTokens} tokens exceeds the context of ${maxContext}`,
      { promptTokens, context: maxContext },
    )
  }
  if (promptTokens >= capacity) {
    throw new ContextLengthError(
      `generate: ${promptTokens} prompt tokens leave no room in the cache of ${capacity}. ` +
        `Shorten the prompt${orMore(capacity, config)}`,
      { promptTokens, context: capacity },
    )
  }
  for (const id of prompt) checkToken(id, config)
}

/** How many tokens two texts begin with alike. */
export function sharedLength(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length)
  let shared = 0
  while (shared < most && a[shared] === b[shared]) shared++
  return shared
}

/** Tokens that `score` can take. Throws ContextLengthError for more, RangeError for ids that are none. */
export function checkScored(ids: readonly number[], config: DecoderConfig, capacity: number): void {
  if (ids.length > capacity) {
    throw new ContextLengthError(
      `score: ${ids.length} tokens exceed the cache of ${capacity}${orMore(capacity, config)}`,
      { promptTokens: ids.length, context: capacity },
    )
  }
  for (const id of ids) checkToken(id, config, "score: ")
}

export function checkToken(id: number, { vocabSize }: DecoderConfig, where = ""): void {
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return
  throw new RangeError(`${where}token ids lie in 0 … ${vocabSize - 1}, got ${id}`)
}

/** Advice that helps only where the cache is smaller than it could be. */
export const orMore = (capacity: number, { maxContext }: DecoderConfig): string =>
  capacity < maxContext ? `, or load with a capacity of up to ${maxContext}` : ""
