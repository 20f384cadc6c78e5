// What an objective is: how the losses of single targets make the number that training minimizes. Its
// gradient is derived. Each is a file beside this one, and a line in the list where it has a name.
import type { Tensor } from "../../engine/index.ts"

/** Losses of N targets, row by row of the batch, B rows of T. */
export interface RowLosses {
  /** −log p of the target, smoothed as the objective asks.  (N) */
  readonly nll: Tensor
  /** log Σ exp(logits).  (N) */
  readonly lse: Tensor
  /** The mean of the logits.  (N) */
  meanLogit(): Tensor
  /** 1 where the target carries no loss, else 0.  (N) */
  readonly ignored: Tensor
  /** Targets that count, here and in the other parts of one mean.  (1) */
  readonly count: Tensor
  /** A number that comes with each sequence; 0 where a step is given none.  (B) */
  readonly given: Tensor
}

/** What training minimizes. */
export interface Objective {
  readonly name: string
  /** Names of the terms whose sum is minimized; the first is what a validation reports. */
  readonly terms: readonly string[]
  /** Whether every term is a sum over targets, each by itself: then they may come some at a time.
   *  Where they may not, logits that do not fit at once are computed twice. */
  readonly rowwise: boolean
  /** Part of the wanted probability that is spread over the whole vocabulary. */
  readonly labelSmoothing: number
  /** The terms by name, (1) each, as a graph that can be differentiated by nll and lse. */
  loss(rows: RowLosses, sizes: BatchSizes): Readonly<Record<string, Tensor>>
  /** What a step reports of each sequence beside the loss; where the terms are not rowwise.  (B) each */
  readonly sequences?: readonly ((rows: RowLosses, sizes: BatchSizes) => Tensor)[]
}

/** Sizes of a micro-batch. */
export interface BatchSizes {
  /** Sequences and positions of the micro-batch. */
  readonly B: number
  readonly T: number
  /** The vocabulary. */
  readonly V: number
}
