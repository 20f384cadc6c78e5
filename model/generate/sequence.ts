// A sequence of tokens over a model's cache: it is appended to, scored, and rewound. What chooses its
// tokens, plainly or in some cleverer way, has nothing but this of the model.
import { chunkOf, type Scored } from "./prefill.ts"
import { greedySampling, type Sampling, type Session } from "./session.ts"
import { type Overflow, seedAfter } from "./slide.ts"
import { type Source, sessionOf } from "./source.ts"
import { nextTurn } from "./turn.ts"

/** What tokens are chosen by. */
interface Sampled {
  readonly sampling: Sampling
  readonly lost: number
}

interface Beginning {
  readonly signal?: AbortSignal | undefined
  readonly length?: number
  readonly dropped?: number
  readonly overflow?: Overflow | undefined
}

export class Sequence {
  readonly #session: Session
  readonly #signal: AbortSignal | undefined
  readonly #overflow: Overflow | undefined
  #length: number
  #sampled: Sampled | undefined

  /** On a session that no one else uses meanwhile, which has read `length` tokens, of which `dropped` are
   *  there no longer. Without `overflow`, there is no room beyond its capacity. */
  constructor(session: Session, { signal, length = 0, dropped = 0, overflow }: Beginning = {}) {
    this.#session = session
    this.#signal = signal
    this.#overflow = overflow
    this.#length = length - dropped
    session.dropped = dropped
  }

  /** What the next token is drawn by: slides move positions, and change the seed. */
  get drawing(): { readonly dropped: number; readonly seed: number } {
    const { dropped } = this.#session
    const { sampling } = this.#sampled as Sampled
    return { dropped, seed: this.#seed(sampling) }
  }

  /** Tokens in the cache; with one that was chosen and is still to be read, that one more. */
  get length(): number {
    return this.#length
  }

  /** Positions that the next step has, after the slide that a full cache begins with. */
  get room(): number {
    const { capacity } = this.#session
    return this.#isFull ? (this.#overflow?.drop ?? 0) : capacity - this.#length
  }

  /** Steps of `next` that may begin before the result of the first of them is known. */
  get ahead(): number {
    return this.#session.ahead
  }

  /** What tokens are chosen by from here on, and how many devices were lost before. */
  sampleBy(sampling: Sampling, lost: number): void {
    this.#sampled = { sampling, lost }
    this.#session.begin({ ...sampling, seed: this.#seed(sampling) }, lost)
  }

  /** Reads tokens; with "next", the result is the one that follows, chosen on the device. Throws the
   *  signal's reason on abort. */
  async append(ids: readonly number[], want: "nothing" | "next"): Promise<number | undefined> {
    for (let start = 0; start < ids.length; ) {
      const chunk = ids.slice(start, start + (await this.#room(chunkOf.next)))
      start += chunk.length
      const isLast = start === ids.length
      await this.#session.prefill(chunk, this.#length, isLast ? want : "nothing")
      this.#length += chunk.length
      await this.#pause()
    }
    return want === "next" ? this.#session.token() : undefined
  }

  /** Reads the token chosen last and chooses the next. */
  next(): Promise<number> {
    const slid = this.#isFull ? this.#slide() : undefined
    this.#length++
    // Several steps that begin at once are in order on the device.
    if (slid && this.ahead === 0) return slid.then(() => this.#session.decode())
    slid?.catch(() => undefined)
    return this.#session.decode()
  }

  /** Reads tokens and says of each but the first how likely it was after those before it. */
  async score(ids: readonly number[]): Promise<Scored> {
    const logProbabilities = new Float32Array(Math.max(0, ids.length - 1))
    const likeliest = new Int32Array(logProbabilities.length)
    for (let start = 0; start < logProbabilities.length; start += chunkOf.scores) {
      const count = Math.min(chunkOf.scores, logProbabilities.length - start)
      const chunk = ids.slice(start, start + count)
      const targets = ids.slice(start + 1, start + 1 + count)
      const found = await this.#session.score(chunk, this.#length, targets)
      logProbabilities.set(found.logProbabilities, start)
      likeliest.set(found.likeliest, start)
      this.#length += count
      await this.#pause()
    }
    await this.append(ids.slice(-1), "nothing")
    return { logProbabilities, likeliest }
  }

  /** Reads tokens. The logits after the last, (1, V), or after each, (T, V), in memory of their own. */
  async logits(ids: readonly number[], want: "row" | "rows"): Promise<Float32Array> {
    const parts: Float32Array[] = []
    for (let start = 0; start < ids.length; ) {
      const chunk = ids.slice(start, start + (await this.#room(chunkOf[want])))
      start += chunk.length
      const isWanted = want === "rows" || start === ids.length
      if (isWanted) parts.push(await this.#session.logits(chunk, this.#length, want))
      else await this.#session.prefill(chunk, this.#length, "nothing")
      this.#length += chunk.length
      await this.#pause()
    }
    return joined(parts)
  }

  /** Forgets all but the first tokens. Throws RangeError for more than there are. */
  rewind(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length) {
      throw new RangeError(`rewind: ${length} is none of the lengths from 0 to ${this.#length}`)
    }
    this.#length = length
  }

  get #isFull(): boolean {
    return this.#overflow !== undefined && this.#length === this.#session.capacity
  }

  /** Positions that the next step may read, of so many. */
  async #room(most: number): Promise<number> {
    if (!this.#overflow) return most
    if (this.#isFull) await this.#slide()
    return Math.min(most, this.#session.capacity - this.#length)
  }

  #slide(): Promise<void> {
    const overflow = this.#overflow as Overflow
    const sliding = this.#session.slide(overflow)
    this.#length -= overflow.drop
    if (this.#sampled) this.sampleBy(this.#sampled.sampling, this.#sampled.lost)
    return sliding
  }

  #seed({ seed }: Sampling): number {
    const { drop = 1 } = this.#overflow ?? {}
    return seedAfter(seed, this.#session.dropped / drop)
  }

  async #pause(): Promise<void> {
    await nextTurn()
    this.#signal?.throwIfAborted()
  }
}

function joined(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0] as Float32Array
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** How likely each token of a text is. */
export interface Scores extends Scored {
  /** The text's tokens: the other lists begin with the second. */
  readonly ids: readonly number[]
}

/** The scores of a text, on a session of its own. */
export async function scoresOf(ids: readonly number[], source: Source): Promise<Scores> {
  const session = sessionOf(source, (kind, open) => source.pool.acquire(kind, open))
  try {
    session.begin(greedySampling, source.residence.lost)
    return { ids, ...(await new Sequence(session).score(ids)) }
  } finally {
    source.pool.release(session)
  }
}
