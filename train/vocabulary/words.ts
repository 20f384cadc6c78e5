// Counts the words of a text, as a vocabulary is learned from: runs of characters that may become
// one piece. Spaces lead a word, digits stand alone, scripts do not mix: SentencePiece's rules.

import { space } from "../../model/tokenizer/vocabulary.ts"
import { ownCopy } from "../../model/tokenizer/word_cache.ts"

/** How often each word occurs, with its spaces as the text has them. */
export type WordCounts = Map<string, number>

/** Classes of characters: two of one class may share a piece. Scripts have the numbers from 4 on. */
const inherited = 0
const spaces = 1
const alone = 2
const otherScript = 3

/** Han stands for the three scripts that Japanese mixes. */
const scripts: readonly string[] = [
  "Common",
  "Latin",
  "Greek",
  "Cyrillic",
  "Han}\\p{sc=Hiragana}\\p{sc=Katakana",
  "Hangul",
  "Arabic",
  "Hebrew",
  "Armenian",
  "Georgian",
  "Devanagari",
  "Bengali",
  "Gurmukhi",
  "Gujarati",
  "Tamil",
  "Telugu",
  "Kannada",
  "Malayalam",
  "Sinhala",
  "Thai",
  "Lao",
  "Tibetan",
  "Myanmar",
  "Khmer",
  "Ethiopic",
]
const patterns = scripts.map((name) => new RegExp(`[\\p{sc=${name}}]`, "u"))
const inheritedPattern = /\p{sc=Inherited}/u
/** Line breaks and other controls stay bytes; U+FFFD marks text that was damaged before. */
const alonePattern = /[0-9\p{Cc}\p{Cs}\p{Cn}\ufffd]/u
const japaneseLong = 0x30fc

function classify(code: number): number {
  const character = String.fromCodePoint(code)
  if (character === " " || character === space) return spaces
  if (alonePattern.test(character)) return alone
  if (inheritedPattern.test(character)) return inherited
  if (code === japaneseLong) return otherScript + 1 + scripts.findIndex((s) => s.startsWith("Han}"))
  const script = patterns.findIndex((pattern) => pattern.test(character))
  return script < 0 ? otherScript : otherScript + 1 + script
}

export interface WordCounter {
  readonly counts: WordCounts
  /** UTF-16 units seen. */
  readonly length: number
  /** Counts a document, given in parts. */
  add(parts: Iterable<string> | AsyncIterable<string>): Promise<void>
}

/** The longest part that is kept back for its last word to be complete. */
const longestWord = 1 << 20

export function wordCounter(): WordCounter {
  const counts: WordCounts = new Map()
  const count = countInto(counts)
  let length = 0
  return {
    counts,
    get length() {
      return length
    },
    async add(parts) {
      // A document begins with a space, as its encoding does.
      let rest = ""
      let isFirst = true
      for await (const part of parts) {
        if (part === "") continue
        const text = isFirst ? ` ${part}` : rest + part
        isFirst = false
        length += part.length
        const cut = lastCut(text)
        const end = cut === 0 && text.length > longestWord ? text.length : cut
        count(text.slice(0, end))
        rest = text.slice(end)
      }
      count(rest)
    },
  }
}

/** The last position where a word surely begins: after a line break, or before spaces. */
function lastCut(text: string): number {
  const line = text.lastIndexOf("\n") + 1
  let start = text.lastIndexOf(" ")
  while (start > 0 && text[start - 1] === " ") start--
  return Math.max(line, start, 0)
}

/** Counts the words of a text that begins and ends between two words. */
function countInto(counts: WordCounts): (text: string) => void {
  const classes = new Int8Array(0x10000).fill(-1)
  const classOf = (code: number): number => {
    if (code > 0xffff) return classify(code)
    if ((classes[code] as number) < 0) classes[code] = classify(code)
    return classes[code] as number
  }
  const add = (word: string): void => {
    const known = counts.get(word)
    if (known === undefined) counts.set(ownCopy(word), 1)
    else counts.set(word, known + 1)
  }
  return (text) => {
    let start = 0
    let current = inherited
    for (let i = 0; i < text.length; ) {
      const code = text.codePointAt(i) as number
      const kind = classOf(code)
      if (i > start && !continues(current, kind)) {
        add(text.slice(start, i))
        start = i
        current = inherited
      }
      if (kind !== inherited) current = kind
      i += code > 0xffff ? 2 : 1
    }
    if (start < text.length) add(text.slice(start))
  }
}

/** Whether a word whose last class is `current` goes on with a character of class `next`. */
const continues = (current: number, next: number): boolean => {
  if (next === alone || current === alone) return false
  if (next === spaces) return current === spaces
  return next === inherited || current === inherited || current === spaces || current === next
}
