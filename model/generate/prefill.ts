// Plans that read tokens into a sequence's cache: one for each length, and for what is wanted of them.
import {
  type Backend,
  type Prepared,
  plan,
  readBound,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import { argmax, crossEntropy } from "../../ops/index.ts"
import { type Decoder, hidden, logitsOf, rowsAt } from "../forward.ts"
import { Holder } from "../weights/holder.ts"
import { cacheUpdates, choose, type SequenceState } from "./state.ts"

/** What is wanted of tokens that are read: the cache filled; the token that follows; of each how likely
 *  the one after it was, and which would have been the likeliest; the same of some of them, each for as
 *  many tokens as are asked for; the logits after the last; those after each. */
export type Want = "nothing" | "next" | "scores" | "targets" | "row" | "rows"

/** Positions that one step reads. Logits of all of them are held only for fewer. */
export const chunkOf: Readonly<Record<Want, number>> = {
  ...{ nothing: 512, next: 512, targets: 512, row: 512 },
  ...{ scores: 128, rows: 128 },
}

/** Plans that are kept ready, and positions of all of them: their memory goes by these. Rounds of drafts
 *  are of every length up to their most. */
const keptPlans = 24
const keptPositions = 1536

/** Lengths that plans are recorded for, so that they recur: all up to 64, since padding costs a short
 *  prompt more than a plan does, then sixteen to each doubling. */
export function recurring(count: number): number {
  const step = count <= 64 ? 1 : 2 ** (Math.ceil(Math.log2(count)) - 5)
  return Math.ceil(count / step) * step
}

/** The least power of two from a number on. */
export const powerOfTwo = (count: number): number => 2 ** Math.ceil(Math.log2(count))

/** Numbers of targets that plans are recorded for: all up to 4, then two to each doubling. */
export function recurringTargets(count: number): number {
  const step = 2 ** Math.max(0, Math.ceil(Math.log2(count)) - 2)
  return Math.ceil(count / step) * step
}

/** Of each target, how likely it is, and which token is the likeliest in its place. */
interface Scores {
  readonly targets: Tensor // i32 (T) or (R)
  readonly nll: Tensor // (T) or (R)
  readonly best: Tensor // i32 (T) or (R)
}

/** What is written before a plan runs, and read after it. */
interface Ends {
  readonly tokens: Tensor // i32 (B·T)
  /** The last that is no padding, or that which each target follows. */
  readonly row?: Tensor // i32 (1) or (R)
  readonly scores?: Scores
  readonly logits?: Tensor // (1, V) or (T, V)
}

export interface Prefill extends Ends {
  readonly prepared: Prepared
  readonly held: Holder
  /** Memory that it takes. */
  readonly bytes: number
}

/** Of each target, the logarithm of its probability, and the likeliest token in its place. */
export interface Scored {
  readonly logProbabilities: Float32Array
  readonly likeliest: Int32Array
}

/** Of the first `count` targets. */
export async function scoredBy(
  { nll, best }: Scores,
  count: number,
  backend: Backend,
): Promise<Scored> {
  const losses = (await readBound(nll, backend)).slice(0, count) as Float32Array
  const likeliest = (await readBound(best, backend)).slice(0, count) as Int32Array
  return { logProbabilities: losses.map((x) => -x), likeliest }
}

export class Prefills {
  readonly #decoder: Decoder
  readonly #backend: Backend
  readonly #state: SequenceState
  /** The most recently used last. */
  readonly #plans = new Map<string, Prefill>()

  constructor(decoder: Decoder, backend: Backend, state: SequenceState) {
    this.#decoder = decoder
    this.#backend = backend
    this.#state = state
  }

  /** Memory of all that are kept. */
  get bytes(): number {
    return [...this.#plans.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** The plan for `length` tokens of all sequences of the state, or of some of them, with so many targets;
   *  those used least recently make room for it. */
  of(length: number, want: Want, targets: number, state = this.#state): Prefill {
    const key = `${state.position.size} ${length} ${want} ${targets}`
    const known = this.#plans.get(key)
    this.#plans.delete(key)
    if (!known) this.#makeRoom(length)
    const prefill = known ?? this.#open(length, want, targets, state)
    this.#plans.set(key, prefill)
    return prefill
  }

  close(): void {
    for (const key of this.#plans.keys()) this.#drop(key)
  }

  #makeRoom(length: number): void {
    const kept = () => [...this.#plans.values()].reduce((sum, { tokens }) => sum + tokens.size, 0)
    while (
      this.#plans.size >= keptPlans ||
      (this.#plans.size > 0 && kept() + length > keptPositions)
    ) {
      this.#drop([...this.#plans.keys()][0] as string)
    }
  }

  #open(length: number, want: Want, targets: number, state: SequenceState): Prefill {
    const held = new Holder(this.#backend)
    try {
      const { vocabSize } = this.#decoder.config
      const ends = allocateEnds(held, { length, want, targets, V: vocabSize })
      const recorded = plan(record(this.#decoder, state, ends), this.#backend)
      const bytes = held.bytes + recorded.arenaBytes
      return { ...ends, held, bytes, prepared: this.#backend.prepare(recorded) }
    } catch (error) {
      held.free()
      throw error
    }
  }

  #drop(key: string): void {
    const { held, prepared } = this.#plans.get(key) as Prefill
    prepared.close()
    held.free()
    this.#plans.delete(key)
  }
}

interface Sizes {
  readonly length: number
  readonly want: Want
  readonly targets: number
  readonly V: number
}

/** Only what is wanted has memory. */
function allocateEnds(held: Holder, { length, want, targets: R, V }: Sizes): Ends {
  const numbers = (count: number) => held.allocate([count], "i32")
  const tokens = numbers(length)
  if (want === "next") return { tokens, row: numbers(1) }
  if (want === "row") return { tokens, row: numbers(1), logits: held.allocate([1, V]) }
  if (want === "rows") return { tokens, logits: held.allocate([length, V]) }
  if (want === "nothing") return { tokens }
  const scores = { targets: numbers(R), best: numbers(R), nll: held.allocate([R]) }
  return want === "targets" ? { tokens, row: numbers(R), scores } : { tokens, scores }
}

function record(
  decoder: Decoder,
  state: SequenceState,
  { tokens, row, scores, logits }: Ends,
): Update[] {
  const { caches: before, position } = state
  const { stream, caches, recorder } = hidden(decoder, { tokens, position, caches: before })
  const updates = cacheUpdates(before, caches)
  const last = row ? rowsAt(stream, row) : stream
  if (logits) return [...updates, [logits, logitsOf(decoder, recorder, last)]]
  if (!scores) return row ? [...updates, ...choose(decoder, recorder, last, state)] : updates
  const all = logitsOf(decoder, recorder, last) // (T, V) or (R, V)
  const losses = crossEntropy(all, scores.targets, { smoothing: 0 }) // (T) or (R) each
  return [...updates, [scores.nll, losses.nll], [scores.best, argmax(all)]]
}
