// Where a generation ends by its text: nothing of a stop text is yielded, however it falls into tokens.
import type { Token } from "./generate.ts"

/** Most tokens without text that are part of one character: all of its bytes but the last. */
const bytesHeld = 3

/** A token that may be part of a stop text, and where its text lies in what is held. */
interface Held {
  readonly token: Token
  readonly start: number
  readonly end: number
}

/**
 * The tokens before the first of `texts`; the one in which it begins with the text before it, if there
 * is any. Of texts that overlap, the one that is complete first. What may be the beginning of one is
 * held back: fewer characters than the longest has, and the rest of the token in which they begin.
 */
export async function* before(
  tokens: AsyncIterable<Token>,
  texts: readonly string[],
): AsyncGenerator<Token, void, undefined> {
  let held: Held[] = []
  let text = ""
  for await (const token of tokens) {
    held.push({ token, start: text.length, end: text.length + token.text.length })
    text += token.text
    const cut = firstOf(texts, text)
    if (cut !== undefined) {
      for (const { token, start } of held) {
        if (start < cut) yield { ...token, text: token.text.slice(0, cut - start) }
      }
      return
    }
    const { free, rest } = split(held, heldFrom(texts, text))
    for (const { token } of free) yield token
    const start = rest[0]?.start ?? text.length
    text = text.slice(start)
    held = rest.map((each) => ({ ...each, start: each.start - start, end: each.end - start }))
  }
  for (const { token } of held) yield token
}

/** Where the text begins that is complete first. */
function firstOf(texts: readonly string[], text: string): number | undefined {
  const found = texts
    .map((stop) => ({ start: text.indexOf(stop), length: stop.length }))
    .filter(({ start }) => start >= 0)
    .sort((a, b) => a.start + a.length - (b.start + b.length) || a.start - b.start)
  return found[0]?.start
}

/** Where the longest end of `text` begins that is the beginning of a stop text. */
function heldFrom(texts: readonly string[], text: string): number {
  const longest = texts.reduce((most, { length }) => Math.max(most, length), 0)
  for (let at = Math.max(0, text.length - longest + 1); at < text.length; at++) {
    const end = text.slice(at)
    if (texts.some((stop) => stop.startsWith(end))) return at
  }
  return text.length
}

/** Those whose text ends before `from`, and the others; the ones without text between them may be
 *  bytes of the character that a stop text begins with. */
function split(held: readonly Held[], from: number): { free: readonly Held[]; rest: Held[] } {
  const bound = held.findIndex(({ end }) => end > from)
  let count = bound < 0 ? held.length : bound
  const least = Math.max(0, count - bytesHeld)
  while (count > least && isBare(held[count - 1])) count--
  return { free: held.slice(0, count), rest: held.slice(count) }
}

const isBare = (held: Held | undefined): boolean => held?.token.text === ""
