// A model's tokenizer: found when the model is loaded, it turns a prompt into ids and the tokens
// that follow into text.
import type { DecoderConfig } from "../architecture.ts"
import type { Waiting } from "../files/http.ts"
import { type FileSource, isSource } from "../files/source.ts"
import { loadTokenizer, type Tokenizer } from "../tokenizer/index.ts"
import { isList } from "./ids.ts"

/** A tokenizer, where to load one from (as `loadTokenizer` takes it), or null for none. */
export type TokenizerOption = Tokenizer | FileSource | null

/** The tokenizer asked for, or the model's own, if it has one. */
export async function tokenizerFor(
  option: TokenizerOption | undefined,
  config: DecoderConfig,
  own: () => Promise<Tokenizer | undefined> = async () => undefined,
  waiting: Waiting = {},
): Promise<Tokenizer | undefined> {
  if (option === null) return undefined
  const found = option ?? (await own())
  if (found === undefined) return undefined
  const tokenizer = await tokenizerFrom(found, waiting)
  const { vocabSize } = tokenizer
  if (vocabSize <= config.vocabSize) return tokenizer
  throw new RangeError(
    `${config.name} has a vocabulary of ${config.vocabSize}, its tokenizer ${vocabSize} pieces. ` +
      "Give the tokenizer that it was trained with, or null for none",
  )
}

/** What is given, or what it is loaded from. Throws TypeError for neither. */
export async function tokenizerFrom(
  given: Tokenizer | FileSource,
  waiting: Waiting = {},
): Promise<Tokenizer> {
  if (isTokenizer(given)) return given
  if (isSource(given)) return loadTokenizer(given, waiting)
  throw new TypeError("tokenizer must be a Tokenizer, the path of one, or null for none")
}

function isTokenizer(given: Tokenizer | FileSource): given is Tokenizer {
  const { encode, stream } = Object(given) as Tokenizer
  return typeof encode === "function" && typeof stream === "function"
}

/** The ids of a prompt: BOS and those of a text, or the numbers given. */
export function promptIds(
  prompt: string | readonly number[],
  tokenizer: Tokenizer | undefined,
  name = "generate",
): readonly number[] {
  if (typeof prompt !== "string") {
    if (isList(prompt)) return [...prompt]
    const expected = "the prompt must be a text or an array of token ids"
    throw new TypeError(`${name}: ${expected}, got ${prompt === null ? "null" : typeof prompt}`)
  }
  if (tokenizer) return tokenizer.encode(prompt, { bos: tokenizer.bosId >= 0 })
  throw new TypeError(
    `${name}: this model has no tokenizer for a text. Load it with ` +
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
