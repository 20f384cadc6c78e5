// Beam search: of several continuations side by side the likeliest are kept, by the rules of transformers
// 4.39. A beam's score is the sum of log p of its tokens, after what processors make of them; that of a
// finished one is divided by a power of its length.
import { uniformAt } from "../../engine/index.ts"
import type { BeamOptions } from "./beam_options.ts"
import { changed, type HostChoice, type Logprobs, likelihood } from "./host.ts"
import type { Checked } from "./options.ts"
import { logSoftmax } from "./processors/probabilities.ts"
import type { Step } from "./processors/processor.ts"

interface Chosen {
  readonly id: number
  readonly logprobs: Logprobs | undefined
}

/** A continuation, and the sum of log p of its tokens. */
interface Beam {
  readonly tokens: readonly Chosen[]
  readonly sum: number
}

/** A finished continuation, and its score. */
export interface Finished {
  readonly tokens: readonly Chosen[]
  readonly score: number
}

/** A token after a beam. */
interface Candidate {
  readonly beam: number
  readonly id: number
  readonly sum: number
}

/** Beams but the first cannot win while all are the same. */
const farBehind = -1e9

/** A search over rows of logits that others read. */
export class BeamSearch {
  readonly #prompt: readonly number[]
  readonly #options: Checked
  readonly #host: HostChoice
  readonly #how: Required<BeamOptions>
  #beams: readonly Beam[]
  readonly #finished: Finished[] = []
  #isDone = false

  constructor(
    prompt: readonly number[],
    options: Checked,
    host: HostChoice,
    how: Required<BeamOptions>,
  ) {
    this.#prompt = prompt
    this.#options = options
    this.#host = host
    this.#how = how
    const sumOf = (beam: number): number => (beam === 0 ? 0 : farBehind)
    this.#beams = Array.from({ length: how.numBeams }, (_, i) => ({ tokens: [], sum: sumOf(i) }))
  }

  get isDone(): boolean {
    return this.#isDone
  }

  /** The last token of each beam. */
  get last(): Int32Array {
    return Int32Array.from(this.#beams, ({ tokens }) => tokens.at(-1)?.id ?? 0)
  }

  /** A token more for each beam. rows: the logits after each. Returns the beam that each goes on from. */
  step(rows: readonly Float32Array[]): Int32Array {
    const { stop, maxNewTokens } = this.#options
    const { numBeams } = this.#how
    const candidates = this.#candidates(rows)
    const next: Candidate[] = []
    for (const [rank, candidate] of candidates.entries()) {
      if (!stop.includes(candidate.id)) next.push(candidate)
      // What would not be a beam is no end either. The end that is written is the first of the list.
      else if (rank < numBeams) this.#finish(this.#grown(candidate, rows, stop[0] as number))
      if (next.length === numBeams) break
    }
    this.#beams = next.map((candidate) => this.#grown(candidate, rows))
    const length = this.#beams[0]?.tokens.length as number
    const best = Math.max(...candidates.map(({ sum }) => sum))
    this.#isDone = this.#isSettled(best, length)
    if (!this.#isDone && length === maxNewTokens) {
      for (const beam of this.#beams) this.#finish(beam)
      this.#isDone = true
    }
    return Int32Array.from(next, ({ beam }) => beam)
  }

  /** The best `count`, the best first. */
  best(count: number): readonly Finished[] {
    return this.#finished
      .toSorted((a, b) => a.score - b.score)
      .slice(-count)
      .reverse()
  }

  #grown({ beam, id, sum }: Candidate, rows: readonly Float32Array[], written = id): Beam {
    const { logprobs: count } = this.#host
    const row = rows[beam] as Float32Array
    const logprobs = count === undefined ? undefined : likelihood(row, id, count)
    const before = this.#beams[beam]?.tokens ?? []
    return { tokens: [...before, { id: written, logprobs }], sum }
  }

  /** The likeliest tokens after all beams, enough of them for all to be ends but as many as beams. */
  #candidates(rows: readonly Float32Array[]): Candidate[] {
    const { temperature, seed, stop } = this.#options
    const count = Math.max(2, 1 + stop.length) * this.#how.numBeams
    const found = new Largest(count)
    for (const [beam, row] of rows.entries()) {
      const { tokens, sum } = this.#beams[beam] as Beam
      const scores = this.#scores(row, tokens)
      const position = this.#prompt.length + tokens.length
      for (const [id, score] of scores.entries()) {
        const total = score + sum
        // With noise, the largest are draws without replacement.
        const noise =
          temperature === 0 ? 0 : -Math.log(-Math.log(uniformAt(seed, position, beam, id)))
        found.add({ beam, id, sum: total }, total + noise)
      }
    }
    const all = found.candidates
    return temperature === 0 ? all : all.sort((a, b) => b.sum - a.sum)
  }

  /** What processors make of log p. */
  #scores(row: Float32Array, tokens: readonly Chosen[]): Float64Array {
    const { stop, maxNewTokens } = this.#options
    const step: Step = {
      ids: [...this.#prompt, ...tokens.map(({ id }) => id)],
      promptLength: this.#prompt.length,
      longest: this.#prompt.length + maxNewTokens,
      ends: stop,
      keep: Math.max(2, stop.length + 1),
    }
    return changed(row, [(scores) => scores.set(logSoftmax(scores)), ...this.#host.changes], step)
  }

  /** Keeps a finished one where it is among the best. */
  #finish({ tokens, sum }: Beam): void {
    const score = sum / tokens.length ** this.#how.lengthPenalty
    if (this.#finished.length === this.#how.numBeams) {
      const worst = this.#worst
      if (score <= worst) return
      this.#finished.splice(
        this.#finished.findIndex((each) => each.score === worst),
        1,
      )
    }
    this.#finished.push({ tokens, score })
  }

  get #worst(): number {
    return Math.min(...this.#finished.map(({ score }) => score))
  }

  /** Whether what is going on is not expected to be better than what is finished. `best`: the largest sum
   *  of those that go on or end now. */
  #isSettled(best: number, length: number): boolean {
    const { numBeams, lengthPenalty, earlyStopping } = this.#how
    if (this.#finished.length < numBeams) return false
    if (earlyStopping === true) return true
    const atMost =
      earlyStopping === "never" && lengthPenalty > 0 ? this.#options.maxNewTokens : length
    return this.#worst >= best / atMost ** lengthPenalty
  }
}

/** The `count` candidates of the largest keys; of equals, the first. */
class Largest {
  readonly #count: number
  readonly #all: { readonly candidate: Candidate; readonly key: number }[] = []

  constructor(count: number) {
    this.#count = count
  }

  add(candidate: Candidate, key: number): void {
    const isFull = this.#all.length === this.#count
    if (isFull && !(key > (this.#all.at(-1)?.key as number))) return
    if (isFull) this.#all.pop()
    let at = this.#all.length
    while (at > 0 && key > (this.#all[at - 1]?.key as number)) at--
    this.#all.splice(at, 0, { candidate, key })
  }

  /** The largest first. */
  get candidates(): Candidate[] {
    return this.#all.map(({ candidate }) => candidate)
  }
}
