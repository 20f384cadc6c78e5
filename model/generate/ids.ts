// Token ids from outside, checked.
import type { DecoderConfig } from "../architecture.ts"

/** Whether a value holds numbers in order: an array, or a typed array. */
export const isList = (value: unknown): boolean =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))

export function checkPrompt(
  prompt: readonly number[],
  config: DecoderConfig,
  capacity: number,
): void {
  if (prompt.length === 0)
    throw new RangeError("generate: the prompt is empty. Begin with the BOS token")
  // Of a cache that slides, there is no end.
  if (Number.isFinite(capacity) && prompt.length > config.maxContext) {
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

/** How many tokens two texts begin with alike. */
export function sharedLength(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length)
  let shared = 0
  while (shared < most && a[shared] === b[shared]) shared++
  return shared
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

/** Advice that helps only where the cache is smaller than it could be. */
export const orMore = (capacity: number, { maxContext }: DecoderConfig): string =>
  capacity < maxContext ? `, or load with a capacity of up to ${maxContext}` : ""
