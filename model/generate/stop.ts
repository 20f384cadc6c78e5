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
 * Tokens before the first of `texts`; the one in which it begins with the text before it, if there is
 * any. Of texts that overlap, the one that is complete first. What may be the beginning of one is held
 * back: fewer characters than the longest has, and the rest of the token in which they begin.
 */
export class StopTexts {
  readonly #texts: readonly string[]
  #held: Held[] = []
  #text = ""
  #isOver = false

  constructor(texts: readonly string[]) {
    this.#texts = texts
  }

  /** Whether one of the texts was there: no token follows. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The tokens that are known to be before all of them, now that there is one more. */
  push(token: Token): Token[] {
    const start = this.#text.length
    this.#text += token.text
    this.#held.push({ token, start, end: this.#text.length })
    const cut = firstOf(this.#texts, this.#text)
    if (cut !== undefined) {
      this.#isOver = true
      const before = this.#held.filter(({ start }) => start < cut)
      return before.map(({ token, start }) => ({
        ...token,
        text: token.text.slice(0, cut - start),
      }))
    }
    const { free, rest } = split(this.#held, heldFrom(this.#texts, this.#text))
    const from = rest[0]?.start ?? this.#text.length
    this.#text = this.#text.slice(from)
    this.#held = rest.map((each) => ({ ...each, start: each.start - from, end: each.end - from }))
    return free.map(({ token }) => token)
  }

  /** What is held back when no more tokens come. */
  end(): Token[] {
    return this.#held.map(({ token }) => token)
  }
}

/** The tokens before the first of `texts`, as they are known to be. */
export async function* before(
  tokens: AsyncIterable<Token>,
  texts: readonly string[],
): AsyncGenerator<Token, void, undefined> {
  const stop = new StopTexts(texts)
  for await (const token of tokens) {
    yield* stop.push(token)
    if (stop.isOver) return
  }
  yield* stop.end()
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
