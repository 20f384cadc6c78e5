// Cuts text into the words that byte-level merging works in: GPT-2's regular expression, written out
// so that a word of any length takes no stack, and others that a tokenizer.json gives.

/** Calls `each` with the words of a text, in order, which together are the text. */
export type Cut = (text: string, each: (word: string) => void) => void

const unseen = 0
const letter = 1
const digit = 2
const whiteSpace = 3
const other = 4

/** Classes of the code points met so far. */
const classes = new Uint8Array(0x110000)

function classAt(text: string, at: number): number {
  const code = text.codePointAt(at) as number
  const known = classes[code] as number
  return known === unseen ? learnt(code) : known
}

/** White space is Unicode's: that of JavaScript's \s lacks U+0085 and has U+FEFF. */
function learnt(code: number): number {
  const character = String.fromCodePoint(code)
  const found = /\p{L}/u.test(character)
    ? letter
    : /\p{N}/u.test(character)
      ? digit
      : /\p{White_Space}/u.test(character)
        ? whiteSpace
        : other
  classes[code] = found
  return found
}

/** Where the run of characters of the class of the one at `start` ends. */
function runEnd(text: string, start: number): number {
  const kind = classAt(text, start)
  let end = start
  while (end < text.length) {
    const unit = text.charCodeAt(end)
    const isHalf = unit >= 0xd800 && unit < 0xe000
    if ((isHalf ? classAt(text, end) : (classes[unit] ?? unseen) || learnt(unit)) !== kind) break
    end += isHalf ? 2 : 1
  }
  return end
}

const contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"]

/** `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+` */
export const gpt2Words: Cut = (text, each) => {
  for (let start = 0, end = 0; start < text.length; start = end) {
    end = gpt2WordEnd(text, start)
    each(text.slice(start, end))
  }
}

function gpt2WordEnd(text: string, start: number): number {
  if (text[start] === "'") {
    const found = contractions.find((each) => text.startsWith(each, start))
    if (found !== undefined) return start + found.length
  }
  if (classAt(text, start) !== whiteSpace) return runEnd(text, start)
  const after = start + 1
  const isBeforeWord = after < text.length && classAt(text, after) !== whiteSpace
  if (isBeforeWord) return text[start] === " " ? runEnd(text, after) : after
  const end = runEnd(text, start)
  // The last white space before a word is left to that word, or is one of its own.
  return end < text.length ? end - 1 : end
}

/** Cuts a text around each match, which is a word as well. */
export function around(pattern: RegExp): Cut {
  return (text, each) => {
    let done = 0
    for (const { 0: match, index } of text.matchAll(pattern)) {
      if (match === "") continue
      if (done < index) each(text.slice(done, index))
      each(match)
      done = index + match.length
    }
    if (done < text.length) each(text.slice(done))
  }
}

/** A regular expression of the tokenizers library in JavaScript's; undefined for what means another
 *  thing there, or nothing. */
export function translated(pattern: string): RegExp | undefined {
  const plain = pattern
    .replace(/\(\?i:([^()[\]\\]*)\)/g, (_, inner: string) => `(?:${anyCase(inner)})`)
    .replaceAll("\\s", "\\p{White_Space}")
    .replaceAll("\\S", "\\P{White_Space}")
    .replaceAll("\\d", "\\p{Nd}")
  const escapes = plain.match(/\\./gsu) ?? []
  if (!escapes.every((each) => /\\([pPrnt]|[^\p{L}\p{N}])/u.test(each))) return undefined
  // Anchors and the dot depend on lines there.
  const outside = plain.replace(/\\./gsu, "").replace(/\[[^\]]*\]/g, "")
  if (/[\^$.]/.test(outside) || /&&|\[[^\]]*\[/.test(plain)) return undefined
  try {
    return new RegExp(plain, "gu")
  } catch {
    return undefined
  }
}

/** Letters whose lower case is of ASCII, but which are not. */
const folding: Readonly<Record<string, string>> = { s: "\u017f", k: "\u212a" }

const anyCase = (text: string): string =>
  text.replace(/[a-z]/gi, (each) => {
    const lower = each.toLowerCase()
    return `[${lower}${each.toUpperCase()}${folding[lower] ?? ""}]`
  })
