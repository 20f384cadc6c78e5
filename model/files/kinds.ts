// How files of each kind begin. A server that lacks a file may answer with a page, a message or
// nothing at all, and call that a success; none of these begins like the file.

/** Bytes that `likeOf` judges by, or all of a shorter file. */
export const judgedBytes = 1024

/** The field without which a file of that name is of no use. */
const neededFields: readonly (readonly [ending: string, field: string])[] = [
  ["tokenizer.json", '"model"'],
  ["index.json", '"weight_map"'],
]

/** Judges the first bytes of a file at such a URL. */
export function likeOf(url: string): (start: Uint8Array) => boolean {
  const { pathname } = new URL(url)
  if (pathname.endsWith("/merges.txt")) return isMerges
  if (!pathname.endsWith(".json")) return isBinary
  const [, field = ""] = neededFields.find(([ending]) => pathname.endsWith(ending)) ?? []
  return (start) => {
    const text = new TextDecoder().decode(start)
    return /^\s*\{/.test(text) && (start.length >= judgedBytes || text.includes(field))
  }
}

/** Whether a first line says a version, or the first two are of two pieces each: no message is so. */
const isMerges = (start: Uint8Array): boolean =>
  /^(#version|([^ <\n]+ [^ \n]+\r?\n){2})/.test(new TextDecoder().decode(start))

/** Whether these bytes are no text: weights and SentencePiece models hold lengths and numbers, which
 *  text never does. */
const isBinary = (start: Uint8Array): boolean =>
  start.some((byte) => byte < 9 || (byte > 13 && byte < 32 && byte !== escapeCode))

const escapeCode = 27
