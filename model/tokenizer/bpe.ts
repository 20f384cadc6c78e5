// Text to ids by a vocabulary: prepares the text, cuts it where no merge crosses, merges each part,
// and remembers the ids of short parts.
import { type AddedToken, type Splitter, splitterOf, type TextPart } from "./added.ts"
import { type Matcher, matcherOf } from "./matcher.ts"
import { mergerOf } from "./merge.ts"
import { joinsOf, ownCopy } from "./split.ts"
import { normalized, space, type Vocabulary } from "./vocabulary.ts"

/** Words remembered at most, and their longest length in UTF-16 units. */
const cacheSize = 1 << 16
const longestCached = 32

const spaceCode = space.codePointAt(0) as number

/** Appends the ids of a text to `out`; `special` says whether its text makes control tokens. */
type Encode = (text: string, out: number[], special?: boolean) => void

export function encoderOf(vocabulary: Vocabulary): Encode {
  const { settings } = vocabulary
  const prepare = preparing(vocabulary)
  const append = sectionEncoder(vocabulary)
  const [inText, inNormalized] = splittersOf(vocabulary)
  // Where nothing is looked for in it, the text keeps its spaces: merging takes them for ▁.
  const normalize = inNormalized ? normalized : spaced
  return (text, out, special = false) => {
    const prepared = prepare(text)
    for (const part of partsOf(prepared, special, inText)) {
      if (part.id >= 0) {
        out.push(part.id)
        continue
      }
      const section = normalize(prepared.slice(part.start, part.end), settings)
      for (const { id, start, end } of partsOf(section, special, inNormalized)) {
        const isFirst = part.start === 0 && start === 0
        if (id >= 0) out.push(id)
        else append(sectionOf(section.slice(start, end), isFirst, settings), out)
      }
    }
  }
}

/** One for the tokens that are looked for in the text, one for those in the normalized text, where
 *  SentencePiece looks for a user's piece as it is written: with ▁ for spaces. */
function splittersOf({ added, settings }: Vocabulary) {
  const written = ({ content }: AddedToken): string => content
  const asNormalized = ({ content }: AddedToken): string => normalized(content, settings)
  return [
    splitterOf(
      added.filter((token) => !token.normalized),
      written,
    ),
    splitterOf(
      added.filter((token) => token.normalized),
      settings.normalizesAdded ? asNormalized : written,
    ),
  ] as const
}

/** The parts that a splitter makes of a text; without one, all of it. */
const partsOf = (
  text: string,
  special: boolean,
  split: Splitter | undefined,
): readonly TextPart[] => {
  if (split) return split(text, special)
  return text === "" ? [] : [{ id: -1, start: 0, end: text.length }]
}

/** Encodes text that holds no added token: in words, of which the short ones are remembered. */
function sectionEncoder(vocabulary: Vocabulary): (text: string, out: number[]) => void {
  const { settings } = vocabulary
  const { splitSpaces } = settings
  const encodeWord = wordEncoder(vocabulary)
  const joins = joinsOf(vocabulary)
  const known = new Map<string, Int32Array>()

  const idsOf = (word: string): Int32Array => {
    if (word.length > longestCached) return encodeWord(word)
    const found = known.get(word)
    if (found) return found
    const ids = encodeWord(word).slice()
    if (known.size === cacheSize) known.clear()
    known.set(ownCopy(word), ids)
    return ids
  }

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
  const whole = (text: string): string => text.replace(/\p{Surrogate}/gu, "\ufffd")
  if (!settings.collapse) return whole
  const matcher = matcherOf(added.map(({ content }) => content))
  return (text) => collapsed(whole(text), matcher)
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
