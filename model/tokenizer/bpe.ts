// Text to ids by a vocabulary: prepares the text, cuts it where no merge crosses, merges each part,
// and remembers the ids of short parts.
import { mergerOf } from "./merge.ts"
import { joinsOf, ownCopy } from "./split.ts"
import { bytePiece, space, type Vocabulary } from "./vocabulary.ts"

/** Words remembered at most, and their longest length in UTF-16 units. */
const cacheSize = 1 << 16
const longestCached = 32

const spaceCode = space.codePointAt(0) as number

/** Appends the ids of a text to `out`. */
export type Encode = (text: string, out: number[]) => void

export function encoderOf(vocabulary: Vocabulary): Encode {
  const { settings } = vocabulary
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

  /** A run of unknown characters is one unknown piece, across words too. */
  const fuses = settings.fuseUnknown && !settings.byteFallback ? vocabulary.unknownId : -1
  const append = (text: string, out: number[]): void => {
    const first = out.length
    let start = 0
    for (let end = 1; end <= text.length; end++) {
      if (end < text.length && joins(text.charCodeAt(end - 1), text.charCodeAt(end))) continue
      const ids = idsOf(text.slice(start, end))
      for (let i = 0; i < ids.length; i++) {
        const id = ids[i] as number
        if (id !== fuses || out.length === first || out[out.length - 1] !== id) out.push(id)
      }
      start = end
    }
  }

  const user = userPieces(vocabulary)
  return (text, out) => {
    const prepared = prepare(text, vocabulary)
    if (prepared === "") return
    const withPrefix = settings.prefix === "text" ? ` ${prepared}` : prepared
    if (user) appendParts(withPrefix, out, user, settings, append)
    else append(sectionOf(withPrefix, true, settings), out)
  }
}

// ---- Preparing ----------------------------------------------------------------------------------

function prepare(text: string, { settings }: Vocabulary): string {
  const whole = text.replace(/\p{Surrogate}/gu, "\ufffd")
  if (!settings.collapse) return whole
  const single = whole.replace(/^ +/, "").replace(/ {2,}/g, " ")
  // A literal ▁ at the end counts as a space, elsewhere it does not: so does SentencePiece.
  let end = single.length
  while (end > 0 && (single[end - 1] === " " || single[end - 1] === space)) end--
  return single.slice(0, end)
}

/** A part of the text between user's pieces, with its space in front. */
function sectionOf(text: string, isFirst: boolean, settings: Vocabulary["settings"]): string {
  const { prefix, prefixIfMissing } = settings
  if (prefix !== "each" && !(prefix === "first" && isFirst)) return text
  const hasOne = text.startsWith(" ") || text.startsWith(space)
  return prefixIfMissing && hasOne ? text : ` ${text}`
}

// ---- User's pieces ------------------------------------------------------------------------------

interface UserPieces {
  readonly pattern: RegExp
  readonly ids: ReadonlyMap<string, number>
}

/** The pieces that are found in the text as they are, the longest first. */
function userPieces({ pieces }: Vocabulary): UserPieces | undefined {
  const ids = new Map<string, number>()
  for (const [id, { text, kind }] of pieces.entries()) {
    if (kind === "user") ids.set(text.replaceAll(" ", space), id)
  }
  if (ids.size === 0) return undefined
  const escaped = [...ids.keys()]
    .sort((a, b) => b.length - a.length)
    .map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"))
  return { pattern: new RegExp(escaped.join("|"), "gu"), ids }
}

function appendParts(
  text: string,
  out: number[],
  { pattern, ids }: UserPieces,
  settings: Vocabulary["settings"],
  append: Encode,
): void {
  const escaped = text.replaceAll(" ", space)
  let start = 0
  for (const match of escaped.matchAll(pattern)) {
    if (match.index > start) {
      append(sectionOf(escaped.slice(start, match.index), start === 0, settings), out)
    }
    out.push(ids.get(match[0]) as number)
    start = match.index + match[0].length
  }
  if (start < escaped.length) {
    append(sectionOf(escaped.slice(start), start === 0, settings), out)
  }
}

// ---- One word -----------------------------------------------------------------------------------

function wordEncoder(vocabulary: Vocabulary): (word: string) => Int32Array {
  const { characters, extra, list } = vocabulary.merges()
  const merge = mergerOf(list)
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
  { pieces, settings, unknownId, source }: Vocabulary,
  extra: readonly string[],
): (symbol: number) => readonly number[] {
  const utf8 = new TextEncoder()
  const byteIds = new Map(pieces.map(({ text, kind }, id) => [kind === "byte" ? text : "", id]))
  return (symbol) => {
    const index = symbol - pieces.length
    const text = extra[index] ?? String.fromCodePoint(index - extra.length)
    if (settings.byteFallback) {
      return Array.from(utf8.encode(text), (byte) => byteIds.get(bytePiece(byte)) as number)
    }
    if (unknownId >= 0) return [unknownId]
    throw new RangeError(
      `${source} has no piece for ${JSON.stringify(text)}, nor one for unknown characters. ` +
        "Use a tokenizer with byte fallback",
    )
  }
}
