// Documents cut into pieces of so many words, and the length that the original's filter counts.

import { isSpace } from "../../model/python/spaces.ts"
import type { Fragment } from "./readers.ts"

export interface TextPiece {
  readonly text: string
  /** The document, as its reader numbers it, and the piece of it, from 0. */
  readonly record: number
  readonly piece: number
  /** Does the document end with it? */
  readonly last: boolean
}

/** Characters after which a piece of a streamed document ends, spaces or not. */
const longestPiece = 1 << 22

/**
 * Cuts documents where `words` words end, words being what stands between single spaces: joined by
 * spaces the pieces are the document. Takes fragments in order and returns what is complete.
 */
export function splitter(words: number): (fragment: Fragment) => TextPiece[] {
  let rest = ""
  /** Spaces of `rest` that were counted, and where the search for more begins. */
  let counted = 0
  let from = 0
  let piece = 0
  return ({ record, text, last }) => {
    const pieces: TextPiece[] = []
    const take = (end: number, next: number, isLast: boolean): void => {
      pieces.push({ text: rest.slice(0, end), record, piece: piece++, last: isLast })
      rest = rest.slice(next)
      counted = 0
      from = 0
    }
    rest += text
    for (let at = rest.indexOf(" ", from); at >= 0; at = rest.indexOf(" ", from)) {
      from = at + 1
      if (++counted === words) take(at, at + 1, false)
    }
    from = rest.length
    if (last) {
      take(rest.length, rest.length, true)
      piece = 0
    } else if (rest.length > longestPiece) {
      take(rest.length, rest.length, false)
    }
    return pieces
  }
}

const isPunctuation = Uint8Array.from({ length: 128 }, (_, code) =>
  /[!-/:-@[-`{-~]/.test(String.fromCharCode(code)) ? 1 : 0,
)
/** The only character that is two in small letters. */
const dottedI = 0x130

/**
 * How many characters are left of a text in small letters, without ASCII punctuation, with single
 * spaces and none at its ends; stops counting at `enough`.
 */
export function cleanedLength(text: string, enough: number): number {
  let count = 0
  let gap = 0
  for (let i = 0; i < text.length && count < enough; i++) {
    const code = text.charCodeAt(i)
    if (code < 128 && isPunctuation[code] === 1) continue
    if (isSpace(code)) {
      gap = count > 0 ? 1 : 0
      continue
    }
    // The second half of a pair belongs to the character before it.
    const isSecond = code >= 0xdc00 && code <= 0xdfff && i > 0 && isFirst(text.charCodeAt(i - 1))
    if (isSecond) continue
    count += gap + (code === dottedI ? 2 : 1)
    gap = 0
  }
  return count
}

const isFirst = (code: number): boolean => code >= 0xd800 && code <= 0xdbff
