// Text to ids by a vocabulary: prepares the text, cuts it where no merge crosses, merges each part,
// and remembers the ids of short parts.
import { aroundAdded, type Encode, wholeCharacters } from "./added.ts"
import { type Matcher, matcherOf } from "./matcher.ts"
import { mergerOf } from "./merge.ts"
import { joinsOf } from "./split.ts"
import { normalized, space, type Vocabulary } from "./vocabulary.ts"
import { remembered } from "./word_cache.ts"

const spaceCode = space.codePointAt(0) as number

export function encoderOf(vocabulary: Vocabulary): Encode {
  const { settings, added } = vocabulary
  const prepare = preparing(vocabulary)
  const append = sectionEncoder(vocabulary)
  const encode = aroundAdded(added, {
    // SentencePiece looks for a user's piece as it is written: with ▁ for spaces.
    textOf: ({ content }) => (settings.normalizesAdded ? normalized(content, settings) : content),
    // Where nothing is looked for in it, the text keeps its spaces: merging takes them for ▁.
    normalize: (text, isSearched) => (isSearched ? normalized : spaced)(text, settings),
    append: (text, isFirst, out) => append(sectionOf(text, isFirst, settings), out),
  })
  return (text, out, special) => encode(prepare(text), out, special)
}

/** Encodes text that holds no added token: in words, of which the short ones are remembered. */
function sectionEncoder(vocabulary: Vocabulary): (text: string, out: number[]) => void {
  const { settings } = vocabulary
  const { splitSpaces } = settings
  const idsOf = remembered(wordEncoder(vocabulary))
  const joins = joinsOf(vocabulary)

  /** A run of unknown characters is one unknown piece, across words too, but not across those that
   *  the file itself splits. */
  const fuses = settings.fuseUnknown && !settings.byteFallback ? vocabulary.unknownId : -1
  return (text, out) => {
    let first = out.length
    let start = 0
    for (let end = 1; end <= text.length; end++) {
      if (end < text.length && joins(text.charCodeAt(end - 1), text.charCodeAt(end))) continue
      const ids = idsOf(text.slice(start, end))
      if (splitSpaces && isSpace(text.charCodeAt(start))) first = out.length
      for (let i = 0; i < ids.length; i++) {
        const id = ids[i] as number
        if (id !== fuses || out.length === first || out[out.length - 1] !== id) out.push(id)
      }
      start = end
    }
  }
}

const isSpace = (unit: number): boolean => unit === 32 || unit === spaceCode

// ---- Preparing ----------------------------------------------------------------------------------

/** Makes whole characters of a text and, where the vocabulary asks for it, single spaces. */
function preparing({ settings, added }: Vocabulary): (text: string) => string {
  if (!settings.collapse) return wholeCharacters
  const matcher = matcherOf(added.map(({ content }) => content))
  return (text) => collapsed(wholeCharacters(text), matcher)
}

/** One space for several and none at either end, but for the spaces that a user's piece holds. */
function collapsed(text: string, matcher: Matcher): string {
  let single = ""
  let isAfterSpace = true
  const add = (part: string): void => {
    const more = isAfterSpace ? part.replace(/^ +/, "") : part
    if (more === "") return
    single += more
    isAfterSpace = more.endsWith(" ")
  }
  let done = 0
  for (const { start, end } of matcher(text)) {
    add(text.slice(done, start).replace(/ {2,}/g, " "))
    add(text.slice(start, end))
    done = end
  }
  add(text.slice(done).replace(/ {2,}/g, " "))
  // A literal ▁ at the end counts as a space, elsewhere it does not: so does SentencePiece.
  let end = single.length
  while (end > 0 && isSpace(single.charCodeAt(end - 1))) end--
  return single.slice(0, end)
}

const spaced = (text: string, { prefix }: Vocabulary["settings"]): string =>
  prefix && text !== "" ? ` ${text}` : text

/** A part of the normalized text, with its space in front. */
function sectionOf(text: string, isFirst: boolean, settings: Vocabulary["settings"]): string {
  const { wordPrefix } = settings
  if (wordPrefix === "never" || (wordPrefix === "first" && !isFirst)) return text
  return isSpace(text.charCodeAt(0)) ? text : ` ${text}`
}

// ---- One word -----------------------------------------------------------------------------------

function wordEncoder(vocabulary: Vocabulary): (word: string) => Int32Array {
  const { characters, extra, table } = vocabulary.merges()
  const merge = mergerOf(table)
  const fallback = fallbackOf(vocabulary, extra)
  /** Characters without a symbol have the ids from here on, by code point. */
  const unknown = vocabulary.pieces.length + extra.length
  const byCode = new Map<number, number>()
  for (const [character, id] of characters) byCode.set(character.codePointAt(0) as number, id)
  byCode.set(32, byCode.get(spaceCode) ?? unknown + spaceCode)
  let symbols = new Int32Array(64)
  return (word) => {
    if (word.length > symbols.length) symbols = new Int32Array(2 * word.length)
    let count = 0
    for (let i = 0; i < word.length; i++) {
      const code = word.codePointAt(i) as number
      if (code > 0xffff) i++
      symbols[count++] = byCode.get(code) ?? unknown + code
    }
    const length = merge(symbols, count)
    return finish(symbols.subarray(0, length))
  }

  /** Replaces symbols that are no pieces by what stands for them. */
  function finish(ids: Int32Array): Int32Array {
    if (ids.every((id) => id < vocabulary.pieces.length)) return ids
    const out: number[] = []
    for (const id of ids) {
      if (id < vocabulary.pieces.length) out.push(id)
      else out.push(...fallback(id))
    }
    return Int32Array.from(out)
  }
}

/** The ids of a symbol that is no piece: its bytes, or the unknown piece. */
function fallbackOf(
  { pieces, byteIds, settings, unknownId, source }: Vocabulary,
  extra: readonly string[],
): (symbol: number) => readonly number[] {
  const utf8 = new TextEncoder()
  return (symbol) => {
    const index = symbol - pieces.length
    const text = extra[index] ?? String.fromCodePoint(index - extra.length)
    if (settings.byteFallback) {
      return Array.from(utf8.encode(text), (byte) => byteIds[byte] as number)
    }
    if (unknownId >= 0) return [unknownId]
    throw new RangeError(
      `${source} has no piece for ${JSON.stringify(text)}, nor one for unknown characters. ` +
        "Use a tokenizer with byte fallback",
    )
  }
}
