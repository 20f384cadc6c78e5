// Tokens that are guessed before they are chosen: who guesses, and which guesses hold. One run of the
// model's plan then gives the logits after all of them.
import { uniformAt } from "../../engine/index.ts"
import type { Step } from "./processors/processor.ts"

/** Tokens that may follow. */
export interface Draft {
  readonly ids: readonly number[]
  /** The distribution that each was drawn from, (V) each; absent where they were not drawn. */
  readonly probabilities?: readonly Float64Array[]
}

/** How a round of drafted tokens went. */
export interface DraftRound {
  /** Tokens that were guessed. */
  readonly drafted: number
  /** How many of them held; one more token was chosen after them. */
  readonly accepted: number
  /** How many the schedule of an assistant asked for, where there was less room. */
  readonly planned?: number
}

/** Guesses what follows. */
export interface Drafter {
  /** `most`: tokens that there is room for after the text, one of which is no draft's. */
  propose(step: Step, most: number): Promise<Draft>
  /** How many it means to guess, where that changes from round to round. */
  readonly planned: number | undefined
  /** What became of it. */
  told(round: DraftRound): void
}

// Streams of random numbers beside the one that a plain token is drawn by (host.ts), so that none depends
// on another: of whether a draft holds, of what comes in its place, and of drafts themselves.
const [acceptance, replacement, drafting] = [1, 2, 3] as const

/** Numbers that are drawn for the token at a position. */
export const noise = {
  accept: (seed: number, position: number): number => uniformAt(seed, position, acceptance, 0),
  replace:
    (seed: number, position: number) =>
    (k: number): number =>
      uniformAt(seed, position, replacement, k),
  draft:
    (seed: number, position: number) =>
    (k: number): number =>
      uniformAt(seed, position, drafting, k),
}

/** Whether a token that was drawn from q holds for p (Leviathan et al. 2023, arXiv 2211.17192):
 *  u ≤ p/q, u uniform. p, q: its probabilities. */
export const holds = (p: number, q: number, u: number): boolean => u <= p / q

/** What a token is drawn from where one from q did not hold: max(p − q, 0), of sum 1.  (V), (V) → (V) */
export function remainder(p: Float64Array, q: Float64Array): Float64Array {
  const rest = p.map((x, i) => Math.max(0, x - (q[i] as number)))
  const sum = rest.reduce((a, b) => a + b, 0)
  // Of equal distributions none is left, but for rounding.
  return sum > 0 ? rest.map((x) => x / sum) : p
}
