// Losses of preferred answers against others, by the log-probabilities of whole answers under the model and
// under a reference: the first half of a batch's sequences are preferred to those of the second half.
// DPO: Rafailov et al. 2023, arXiv 2305.18290; hinge: Zhao et al. 2023, arXiv 2305.10425, with a reference
// as Liu et al. 2023, arXiv 2309.06657; IPO: Azar et al. 2023, arXiv 2310.12036
import { constant, type Tensor } from "../../engine/index.ts"
import {
  add,
  affine,
  exp,
  less,
  log,
  mean,
  mul,
  reshape,
  slice,
  sub,
  sum,
} from "../../ops/index.ts"
import { checkNumberOf, isBelow1, isNotNegative, isPositive } from "../checks.ts"
import type { BatchSizes, Objective, RowLosses } from "./objective.ts"

/** Losses of preferences by their names. */
export type PreferenceLoss = "sigmoid" | "hinge" | "ipo"
const preferenceLosses: readonly PreferenceLoss[] = ["sigmoid", "hinge", "ipo"]

/** What a preference loss is made with. */
export interface PreferenceOptions {
  /** sigmoid: −log σ(z), as DPO and RSO's sigmoid-norm; hinge: max(0, 1 − z), as RSO's hinge-norm, or SLiC without a reference; ipo:
   *  (h − 1/2β)²; of h, how much more the model prefers the preferred answer than the reference does, and
   *  z = β·h.  Default "sigmoid". */
  readonly loss?: PreferenceLoss
  /** Default 0.1. */
  readonly beta?: number
  /** Part of the preferences that are taken to be the other way round, of sigmoid; default 0. */
  readonly labelSmoothing?: number
  /** Whether the reference counts: without it, log-probabilities of the model alone; default true. */
  readonly reference?: boolean
  /** Whether steps report, after the log-probability of each answer, its sum of mean logits; default false. */
  readonly logits?: boolean
  /** Parts of a batch whose losses are averaged; default 1. */
  readonly parts?: number
}

/** Sums over the targets of each sequence that count.  x (B·T) → (B) */
function countedSums(x: Tensor, { ignored }: RowLosses, { B, T }: BatchSizes): Tensor {
  const counted = mul(x, affine(ignored, -1, 1)) // (B·T)
  return reshape(sum(reshape(counted, [B, T])), [B])
}

const logProbSums = (rows: RowLosses, sizes: BatchSizes): Tensor =>
  countedSums(affine(rows.nll, -1, 0), rows, sizes)

const logitSums = (rows: RowLosses, sizes: BatchSizes): Tensor =>
  countedSums(rows.meanLogit(), rows, sizes)

/** Log-probabilities of any number of sequences, for a model that does not move. */
export const sequenceLogProbs: Objective = {
  name: "sequenceLogProbs",
  terms: ["logProb"],
  rowwise: false,
  labelSmoothing: 0,
  sequences: [logProbSums],
  loss: (rows, sizes) => ({ logProb: mean(logProbSums(rows, sizes)) }),
}

/** The mean over pairs, whose reference log-probabilities a step is given for each sequence. Throws
 *  RangeError naming the option. */
export function preference(options: PreferenceOptions = {}): Objective {
  const { loss: kind = "sigmoid", beta = 0.1, labelSmoothing: flipped = 0 } = options
  const { reference = true, logits = false, parts = 1 } = options
  if (!preferenceLosses.includes(kind)) {
    const names = preferenceLosses.join(", ")
    throw new RangeError(`loss must be one of ${names}, got ${JSON.stringify(kind)}`)
  }
  checkNumberOf("beta", beta, isPositive, "above 0")
  checkNumberOf(
    "labelSmoothing",
    flipped,
    (x) => isNotNegative(x) && isBelow1(x),
    "from 0 and below 1",
  )
  const lossOf: Record<PreferenceLoss, (h: Tensor) => Tensor> = {
    sigmoid(h) {
      const z = affine(h, beta, 0)
      const own = softplus(affine(z, -1, 0))
      if (flipped === 0) return own
      return add(affine(own, 1 - flipped, 0), affine(softplus(z), flipped, 0))
    },
    hinge: (h) => positive(affine(h, -beta, 1)),
    ipo(h) {
      const off = affine(h, 1, -1 / (2 * beta))
      return mul(off, off)
    },
  }
  return {
    name: "preference",
    terms: ["preference"],
    rowwise: false,
    labelSmoothing: 0,
    sequences: [logProbSums, ...(logits ? [logitSums] : [])],
    loss(rows, sizes) {
      const sums = logProbSums(rows, sizes) // (B)
      const gain = reference ? sub(sums, rows.given) : sums // (B)
      const pairs = sizes.B / 2
      const h = sub(slice(gain, 0, 0, pairs), slice(gain, 0, pairs, pairs)) // (B/2)
      return { preference: affine(mean(lossOf[kind](h)), 1 / parts, 0) }
    },
  }
}

const zero = constant([0], [1])

/** max(0, x), of which the slope at 0 is 0. */
const positive = (x: Tensor): Tensor => mul(x, less(zero, x))

/** log(1 + eˣ), without overflow. */
function softplus(x: Tensor): Tensor {
  const small = mul(x, affine(less(zero, x), -2, 1)) // −|x|
  return add(positive(x), log(affine(exp(small), 1, 1)))
}
