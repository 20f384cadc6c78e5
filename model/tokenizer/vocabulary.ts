// What a tokenizer file says, whatever its format: the pieces, how they merge, and how text is
// prepared for them. sentencepiece.ts and json.ts make one, bpe.ts applies it.
import type { AddedToken, Encode } from "./added.ts"
import type { Meaning, TextStream } from "./decode.ts"
import type { PairTable } from "./pairs.ts"

/** The character that stands for a space in pieces. */
export const space = "▁"

/** What decoding makes of a piece: its text, nothing for control pieces, a byte. */
export type PieceKind = "normal" | "user" | "unknown" | "control" | "byte"

/** More than any tokenizer has, and few enough for memory. */
export const maxPieces = 1 << 20

export interface Piece {
  readonly text: string
  readonly kind: PieceKind
}

/** Symbols: the pieces by id, then characters that only occur inside of pieces. */
export interface Merges {
  /** Id of the symbol that a single character starts as. */
  readonly characters: ReadonlyMap<string, number>
  /** Characters that are symbols but not pieces have the ids from the number of pieces on. */
  readonly extra: readonly string[]
  readonly table: PairTable
}

export interface TokenizerSettings {
  /** The normalizer puts a space before each part of the text around added tokens that are found in
   *  the text as it is. */
  readonly prefix: boolean
  /** The normalizer writes spaces as ▁; else they are so only afterwards. */
  readonly escapes: boolean
  /** Added tokens that are looked for in normalized text are normalized themselves. */
  readonly normalizesAdded: boolean
  /** Where a space is put that is not there yet: never, before the text if it begins with no added
   *  token, or before each part of it around those. */
  readonly wordPrefix: "never" | "first" | "each"
  /** Removes spaces at both ends, and all but one of several. */
  readonly collapse: boolean
  /** Splits before every space, whatever the pieces hold. */
  readonly splitSpaces: boolean
  /** Characters without a piece become their UTF-8 bytes, not the unknown piece. */
  readonly byteFallback: boolean
  /** Several unknown characters in a row become one unknown piece. */
  readonly fuseUnknown: boolean
  /** What decoding puts for the unknown piece. */
  readonly unknownText: string
  /** Decoding removes the first space, or with `collapse` all: of pieces that begin with ▁, or of any
   *  text. */
  readonly stripPrefix: "never" | "piece" | "text"
}

export interface Vocabulary {
  /** The file that it came from, for messages. */
  readonly source: string
  readonly pieces: readonly Piece[]
  /** Texts of all pieces that merging can make. */
  readonly symbols: readonly string[]
  /** Texts that are found before merging. */
  readonly added: readonly AddedToken[]
  /** Ids of the pieces that stand for bytes, where there is byte fallback. */
  readonly byteIds: readonly number[]
  readonly settings: TokenizerSettings
  /** -1 where the vocabulary has none. */
  readonly unknownId: number
  readonly bosId: number
  readonly eosId: number
  /** The number of pieces where the vocabulary has none. */
  readonly padId: number
  /** Made when text is first encoded: decoding does not need it. */
  merges(): Merges
}

/** What a tokenizer does, whatever its family. */
export interface TokenizerRules extends Pick<Vocabulary, "source" | "bosId" | "eosId" | "padId"> {
  readonly vocabSize: number
  /** What ids stand for. */
  readonly meanings: readonly Meaning[]
  stream(): TextStream
  /** Made with the first text: a model that is only given ids needs none of it. */
  encoder(): Encode
}

/** A family of tokenizer.json, known by its content. */
export interface JsonFamily {
  reads(json: unknown): boolean
  /** Throws SyntaxError for what has another form, RangeError for what is not supported. */
  rulesOf(json: unknown, source: string): TokenizerRules
}

/** What the normalizer makes of a part of the text, or of an added token. */
export function normalized(text: string, { prefix, escapes }: TokenizerSettings): string {
  const whole = prefix && text !== "" ? `${space}${text}` : text
  return escapes ? whole.replaceAll(" ", space) : whole
}

/** The byte that a piece such as <0x0A> stands for, -1 for other texts. */
export function byteOf(text: string): number {
  return /^<0x[0-9A-F]{2}>$/.test(text) ? Number.parseInt(text.slice(3, 5), 16) : -1
}

/** The piece that stands for a byte. */
export const bytePiece = (byte: number): string =>
  `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`
