// The release's loss: mean cross-entropy of the targets that count, and z-loss.
// z-loss: Chowdhery et al. 2022, section 5, arXiv 2204.02311
import { add, affine, div, mul, sum } from "../../ops/index.ts"
import { checkNumberOf, isBelow1, isNotNegative } from "../checks.ts"
import type { Objective } from "./objective.ts"

/** What cross-entropy is made with. */
export interface CrossEntropyOptions {
  /** Weight of the z-loss; default 1e-4, 0 leaves it out. */
  readonly zLoss?: number
  /** Part of the wanted probability that is spread over the whole vocabulary; default 0. */
  readonly labelSmoothing?: number
}

/** ce = Σ nll/count, z = zLoss·(Σ lse² + ignored·ln(V)²)/count: the original counts an ignored row as one
 *  of equal logits, a constant. Throws RangeError naming the option. */
export function crossEntropy(options: CrossEntropyOptions = {}): Objective {
  const { zLoss = 1e-4, labelSmoothing = 0 } = options
  checkNumberOf("zLoss", zLoss, isNotNegative, "0 or more")
  checkNumberOf("labelSmoothing", labelSmoothing, isBelow1, "from 0 and below 1")
  return {
    name: "crossEntropy",
    terms: ["ce", "z"],
    rowwise: true,
    labelSmoothing,
    loss({ nll, lse, ignored, count }, { V }) {
      const share = div(affine(ignored, -1, 1), count) // (N)
      const squares = sum(mul(share, mul(lse, lse))) // (1)
      const quirk = div(affine(sum(ignored), Math.log(V) ** 2, 0), count) // (1)
      return { ce: sum(mul(share, nll)), z: affine(add(squares, quirk), zLoss, 0) }
    },
  }
}
