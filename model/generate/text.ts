// A model's tokenizer: found when the model is loaded, it turns a prompt into ids and the tokens
// that follow into text.
import type { DecoderConfig } from "../architecture.ts"
import type { Waiting } from "../files/http.ts"
import { loadIfThere, loadTokenizer, type Tokenizer } from "../tokenizer/index.ts"
import { isList } from "./generate.ts"

/** A tokenizer, where to load one from (a path, or "byte"), or null for none. */
export type TokenizerOption = Tokenizer | string | null

/** The tokenizer asked for, or that of the model's folder, if it has one. */
export async function tokenizerFor(
  option: TokenizerOption | undefined,
  config: DecoderConfig,
  folder?: string,
  waiting: Waiting = {},
): Promise<Tokenizer | undefined> {
  if (option === null) return undefined
  const found = option ?? (folder === undefined ? undefined : await loadIfThere(folder, waiting))
  if (found === undefined) return undefined
  const tokenizer = typeof found === "string" ? await loadTokenizer(found, waiting) : found
  if (typeof tokenizer?.encode !== "function" || typeof tokenizer.stream !== "function") {
    throw new TypeError("tokenizer must be a Tokenizer, the path of one, or null for none")
  }
  const { vocabSize } = tokenizer
  if (vocabSize <= config.vocabSize) return tokenizer
  throw new RangeError(
    `${config.name} has a vocabulary of ${config.vocabSize}, its tokenizer ${vocabSize} pieces. ` +
      "Give the tokenizer that it was trained with, or null for none",
  )
}

/** The ids of a prompt: BOS and those of a text, or the numbers given. */
export function promptIds(
  prompt: string | readonly number[],
  tokenizer: Tokenizer | undefined,
): readonly number[] {
  if (typeof prompt !== "string") {
    if (isList(prompt)) return [...prompt]
    const expected = "the prompt must be a text or an array of token ids"
    throw new TypeError(`generate: ${expected}, got ${prompt === null ? "null" : typeof prompt}`)
  }
  if (tokenizer) return tokenizer.encode(prompt, { bos: tokenizer.bosId >= 0 })
  throw new TypeError(
    "generate: this model has no tokenizer for a text. Load it with " +
      '{ tokenizer: "path/to/tokenizer.model" }, or give an array of token ids',
  )
}

/** The text that each token after the prompt completes; the last one ends what is incomplete. */
export function continuation(
  prompt: readonly number[],
  tokenizer: Tokenizer | undefined,
): (id: number, isLast: boolean) => string {
  if (!tokenizer) return () => ""
  const stream = tokenizer.stream()
  // A model may have more rows than its tokenizer has pieces; those are no text.
  const push = (id: number): string => (id < tokenizer.vocabSize ? stream.push(id) : "")
  for (const id of prompt) push(id)
  return (id, isLast) => push(id) + (isLast ? stream.end() : "")
}
