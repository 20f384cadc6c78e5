// Added tokens: texts that are found before merging, as the `tokenizers` library finds them. First
// those that are looked for in the text as it is, then, in what is left and normalized, the others.
import { type Matcher, matcherOf, mostUnits } from "./matcher.ts"

export interface AddedToken {
  readonly id: number
  readonly content: string
  /** A control token: text makes it only where that is asked for. */
  readonly special: boolean
  /** Looked for in the text as the normalizer leaves it, itself normalized. */
  readonly normalized: boolean
  /** Found only where no letter, digit or the like is next to it. */
  readonly singleWord: boolean
  /** Takes the white space before it with it; `rstrip` that after it. */
  readonly lstrip: boolean
  readonly rstrip: boolean
}

/** A user's piece of SentencePiece, found wherever it stands in the text as the normalizer leaves it. */
export const usersPiece = (content: string, id: number): AddedToken => ({
  id,
  content,
  special: false,
  normalized: true,
  singleWord: false,
  lstrip: false,
  rstrip: false,
})

/** The tokens, if they are not too many to look for. Throws RangeError naming `source`. */
export function checkedLength(
  tokens: readonly AddedToken[],
  source: string,
): readonly AddedToken[] {
  const units = tokens.reduce((sum, { content }) => sum + content.length, 0)
  if (units <= mostUnits) return tokens
  throw new RangeError(
    `${source}: its added tokens have ${units} characters, expected at most ${mostUnits}`,
  )
}

/** A part of a text: an added token, or what lies between them, with id -1. */
interface TextPart {
  readonly id: number
  readonly start: number
  readonly end: number
}

/** Cuts a text into parts, none of them empty; control tokens only count where `special` says. */
type Splitter = (text: string, special: boolean) => readonly TextPart[]

/** Looks for tokens by their texts; for none, undefined. */
export function splitterOf(
  tokens: readonly AddedToken[],
  textOf: (token: AddedToken) => string,
): Splitter | undefined {
  if (tokens.length === 0) return undefined
  let matcher: Matcher | undefined
  return (text, special) => {
    matcher ??= matcherOf(tokens.map(textOf))
    const parts: TextPart[] = []
    let done = 0
    for (const match of matcher(text)) {
      const token = tokens[match.index] as AddedToken
      if (token.special && !special) continue
      if (token.singleWord && !standsAlone(text, match.start, match.end)) continue
      const start = token.lstrip ? Math.max(done, spaceBefore(text, match.start)) : match.start
      const end = token.rstrip ? spaceAfter(text, match.end) : match.end
      if (done < start) parts.push({ id: -1, start: done, end: start })
      // White space that is a token itself may have been taken already, and counts all the same: but
      // for one that takes the white space before it, of which nothing is left.
      if (start < end) parts.push({ id: token.id, start, end })
      done = end
    }
    if (done < text.length) parts.push({ id: -1, start: done, end: text.length })
    return parts
  }
}

/** Appends the ids of a text to `out`; `special` says whether its text makes control tokens. */
export type Encode = (text: string, out: number[], special?: boolean) => void

/** How the parts of a text between added tokens become ids. */
interface AroundAdded {
  /** The text of a token that is looked for in normalized text. */
  textOf(token: AddedToken): string
  /** Given whether any token is looked for in its result. */
  normalize(text: string, isSearched: boolean): string
  /** Appends the ids of a normalized part, which may be the first of the text. */
  append(text: string, isFirst: boolean, out: number[]): void
}

/** Takes added tokens out of the text as it is, then others out of what is left, normalized. */
export function aroundAdded(
  added: readonly AddedToken[],
  { textOf, normalize, append }: AroundAdded,
): Encode {
  const inText = splitterOf(
    added.filter((token) => !token.normalized),
    ({ content }) => content,
  )
  const inNormalized = splitterOf(
    added.filter((token) => token.normalized),
    textOf,
  )
  return (text, out, special = false) => {
    for (const part of partsOf(text, special, inText)) {
      if (part.id >= 0) {
        out.push(part.id)
        continue
      }
      const section = normalize(text.slice(part.start, part.end), inNormalized !== undefined)
      for (const { id, start, end } of partsOf(section, special, inNormalized)) {
        if (id >= 0) out.push(id)
        else append(section.slice(start, end), part.start === 0 && start === 0, out)
      }
    }
  }
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

/** Text of whole characters: half of one becomes U+FFFD. */
export const wholeCharacters = (text: string): string => text.replace(/\p{Surrogate}/gu, "\ufffd")

const word = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]"
const wordAtStart = new RegExp(`^${word}`, "u")
const wordAtEnd = new RegExp(`${word}$`, "u")
const isSpace = (character: string): boolean => /^\p{White_Space}$/u.test(character)

/** Looks at one character, of one or two units, on each side. */
const standsAlone = (text: string, start: number, end: number): boolean =>
  !wordAtEnd.test(text.slice(Math.max(0, start - 2), start)) &&
  !wordAtStart.test(text.slice(end, end + 2))

function spaceBefore(text: string, end: number): number {
  let start = end
  while (start > 0 && isSpace(text.charAt(start - 1))) start--
  return start
}

function spaceAfter(text: string, start: number): number {
  let end = start
  while (end < text.length && isSpace(text.charAt(end))) end++
  return end
}
