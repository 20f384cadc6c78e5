// The lists of a tokenizer in a GGUF file's metadata.
import type { Metadata, MetadataValue } from "./header.ts"

type Kinds = { string: string; number: number }

/** A list of texts or of numbers. Throws RangeError for another value, or none. */
export function listIn<K extends keyof Kinds>(
  metadata: Metadata,
  source: string,
  name: string,
  kind: K,
): readonly Kinds[K][] {
  const found: MetadataValue | undefined = metadata.get(`tokenizer.ggml.${name}`)
  if (Array.isArray(found) && found.every((each) => typeof each === kind)) {
    return found as Kinds[K][]
  }
  throw new RangeError(`${source}: tokenizer.ggml.${name} is no list of ${kind}s`)
}

/** Texts and types of tokens, without those at the end of type `unused`, which only fill the rows of the
 *  embedding. Throws RangeError where there are not as many. */
export function rowsOf(
  metadata: Metadata,
  source: string,
  unused: number,
): { readonly texts: readonly string[]; readonly types: readonly number[] } {
  const texts = listIn(metadata, source, "tokens", "string")
  const types = listIn(metadata, source, "token_type", "number")
  if (types.length !== texts.length) {
    throw new RangeError(`${source}: it has ${texts.length} tokens and ${types.length} types`)
  }
  const count = types.findLastIndex((type) => type !== unused) + 1
  return { texts: texts.slice(0, count), types: types.slice(0, count) }
}
