// Ids to text, one id at a time: bytes are held back until they are a whole character, and the
// space that encoding put in front is removed. Invalid bytes become U+FFFD, each of them.
import { byteOf, normalized, space, type Vocabulary } from "./vocabulary.ts"

/** Decodes token by token; see the Tokenizer interface. */
export interface TextStream {
  /** The text that this token completes, in whole characters. */
  push(id: number): string
  /** What is left incomplete. */
  end(): string
}

/** What an id stands for: text, one byte of a character, or several bytes. */
export type Meaning = string | number | Uint8Array

const encoder = new TextEncoder()

/** The bytes that an id adds to a text. Throws RangeError for ids that there are not. */
export function bytesOfMeaning(
  meanings: readonly Meaning[],
  id: number,
  source: string,
): Uint8Array {
  const meaning = meanings[id]
  if (meaning === undefined) throw unknownId(id, meanings.length, source)
  if (typeof meaning === "string") return encoder.encode(meaning)
  return typeof meaning === "number" ? Uint8Array.of(meaning) : meaning
}

/** Makes streams for a vocabulary: `meanings` by id, where nothing is the empty text. */
export function streamOf(meanings: readonly (string | number)[], source: string): () => TextStream {
  return () => {
    const utf8 = utf8Stream()
    return {
      push(id) {
        const meaning = meanings[id]
        if (meaning === undefined) throw unknownId(id, meanings.length, source)
        return typeof meaning === "number" ? utf8.push(meaning) : utf8.end() + meaning
      },
      end: utf8.end,
    }
  }
}

/** What the pieces of a vocabulary stand for. */
export function pieceMeanings(vocabulary: Vocabulary): readonly (string | number)[] {
  const { settings, padId } = vocabulary
  const meanings = vocabulary.pieces.map(({ text, kind }): string | number => {
    if (kind === "control") return ""
    if (kind === "unknown") return settings.unknownText
    return kind === "byte" ? byteOf(text) : text.replaceAll(space, " ")
  })
  // The tokenizers library writes such a token as its normalizer has it.
  for (const { id, content, special, normalized: isNormalized } of vocabulary.added) {
    if (special || !isNormalized || !settings.normalizesAdded) continue
    meanings[id] = normalized(content, settings).replaceAll(space, " ")
  }
  // Padding is no text, also where the vocabulary has no piece for it.
  if (padId === meanings.length) meanings.push("")
  return meanings
}

/** Streams of a vocabulary of pieces. */
export function pieceStreamOf(
  vocabulary: Vocabulary,
  meanings: readonly (string | number)[],
): () => TextStream {
  const { settings, source } = vocabulary
  const open = streamOf(meanings, source)
  if (settings.stripPrefix === "never") return open
  const strips = vocabulary.pieces.map(({ text, kind }) => {
    return settings.stripPrefix === "text" || (kind !== "control" && text.startsWith(space))
  })
  return () => withoutPrefix(open(), (id) => strips[id] === true, settings.collapse)
}

/** Streams of a vocabulary of bytes: `meanings` by id are bytes, or texts, of which control tokens have
 *  an empty one. What is part of no character is one U+FFFD as far as it could begin one. */
export function bytePieceStreamOf(
  meanings: readonly (string | Uint8Array)[],
  source: string,
): () => TextStream {
  return () => {
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })
    return {
      push(id) {
        const meaning = meanings[id]
        if (meaning === undefined) throw unknownId(id, meanings.length, source)
        if (typeof meaning !== "string") return utf8.decode(meaning, { stream: true })
        return meaning === "" ? "" : utf8.decode() + meaning
      },
      end: () => utf8.decode(),
    }
  }
}

/** Removes the space that the first text begins with; with `all`, every one before other text. */
function withoutPrefix(
  stream: TextStream,
  startsWithSpace: (id: number) => boolean,
  all: boolean,
): TextStream {
  let atStart = true
  return {
    push(id) {
      const text = stream.push(id)
      if (!atStart || text === "") return text
      // Text of bytes before this piece, which were no character, comes first.
      const strips = startsWithSpace(id) && text.startsWith(" ")
      atStart = all && strips && text === " "
      return strips ? text.slice(1) : text
    },
    end: stream.end,
  }
}

const unknownId = (id: number, count: number, source: string): RangeError =>
  new RangeError(`decode: ids of ${source} lie in 0 … ${count - 1}, got ${String(id)}`)

// ---- UTF-8 --------------------------------------------------------------------------------------

const replacement = "\ufffd"

/** Bytes to whole characters; a byte that is part of none is U+FFFD by itself. */
function utf8Stream(): { push(byte: number): string; end(): string } {
  let held: number[] = []
  /** Takes what is complete or invalid from the front of the held bytes. */
  const take = (final: boolean): string => {
    let text = ""
    while (held.length > 0) {
      const length = characterLength(held)
      if (length > held.length && !final) return text
      const whole = length > 0 && length <= held.length
      text += whole ? characterOf(held.slice(0, length)) : replacement
      held = held.slice(whole ? length : 1)
    }
    return text
  }
  return {
    push(byte) {
      if (byte < 0x80 && held.length === 0) return String.fromCharCode(byte)
      held.push(byte)
      return take(false)
    },
    end: () => (held.length === 0 ? "" : take(true)),
  }
}

/** Bytes of the character that begins here as far as can be seen; 0 where none can begin. */
function characterLength([first = 0, second, third, fourth]: readonly number[]): number {
  if (first < 0x80) return 1
  if (first < 0xc2 || first > 0xf4) return 0
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
  // Shorter forms exist for what lies below, surrogates and too large numbers above.
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  if (second !== undefined && (second < least || second > most)) return 0
  for (const byte of [third, fourth].slice(0, length - 2)) {
    if (byte !== undefined && (byte < 0x80 || byte > 0xbf)) return 0
  }
  return length
}

function characterOf(bytes: readonly number[]): string {
  const [first = 0, ...rest] = bytes
  const bits = rest.length === 0 ? first : first & (0x3f >> rest.length)
  return String.fromCodePoint(rest.reduce((code, byte) => code * 64 + (byte & 0x3f), bits))
}
