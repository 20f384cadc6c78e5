// What a tokenizer file says, whatever its format: the pieces, how they merge, and how text is
// prepared for them. sentencepiece.ts and json.ts make one, bpe.ts applies it.

/** The character that stands for a space in pieces. */
export const space = "▁"

/** A user's piece is found in the text as it is; unknown, control and byte pieces never are. */
export type PieceKind = "normal" | "user" | "unknown" | "control" | "byte"

export interface Piece {
  readonly text: string
  readonly kind: PieceKind
}

/** One merge: two symbols side by side become one. */
export interface Merge {
  readonly left: number
  readonly right: number
  readonly merged: number
  /** Merges of a lower rank come first; of equal ranks the leftmost. */
  readonly rank: number
}

/** Symbols: the pieces by id, then characters that only occur inside of pieces. */
export interface Merges {
  /** Id of the symbol that a single character starts as. */
  readonly characters: ReadonlyMap<string, number>
  /** Characters that are symbols but not pieces have the ids from the number of pieces on. */
  readonly extra: readonly string[]
  readonly list: readonly Merge[]
}

export interface Settings {
  /** Where a space is put: never, before the text, or before the first or each part of the text
   *  around pieces that are found as they are. */
  readonly prefix: "never" | "text" | "first" | "each"
  /** Puts that space only where the text does not begin with one. */
  readonly prefixIfMissing: boolean
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
  /** Decoding removes the first space: one, or with `collapse` all. */
  readonly stripPrefix: boolean
}

export interface Vocabulary {
  /** The file that it came from, for messages. */
  readonly source: string
  readonly pieces: readonly Piece[]
  readonly settings: Settings
  /** -1 where the vocabulary has none. */
  readonly unknownId: number
  readonly bosId: number
  readonly eosId: number
  /** The number of pieces where the vocabulary has none. */
  readonly padId: number
  /** Made when text is first encoded: decoding does not need it. */
  merges(): Merges
}

/** The byte that a piece such as <0x0A> stands for, -1 for other texts. */
export function byteOf(text: string): number {
  return /^<0x[0-9A-F]{2}>$/.test(text) ? Number.parseInt(text.slice(3, 5), 16) : -1
}

/** The piece that stands for a byte. */
export const bytePiece = (byte: number): string =>
  `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`
