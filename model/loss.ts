// The training loss of the release: cross-entropy and z-loss over the targets that count.
import { constant, type Tensor } from "../engine/index.ts"
import { add, affine, cast, crossEntropy, div, equal, mul, reshape, sum } from "../ops/index.ts"

export interface LossOptions {
  /** Targets of this id carry no loss. */
  readonly ignoreIndex?: number
  /** Weight of the z-loss; 0 leaves it out. */
  readonly zLoss?: number
}

export interface LossTerms {
  readonly loss: Tensor // (1)
  readonly ce: Tensor // (1)
  readonly z: Tensor // (1)
}

/** ce = mean of −log p over the targets that count, z = zLoss/n·(Σ lse² + ignored·ln(V)²), the last
 *  term as the original adds it: a constant. loss = ce + z.  logits (N, V), targets i32 (N) → (1) each.
 *  z-loss: Chowdhery et al. 2022, section 5, arXiv 2204.02311 */
export function lossTerms(logits: Tensor, targets: Tensor, options: LossOptions = {}): LossTerms {
  const { ignoreIndex = -1, zLoss = 0 } = options
  const [N, V] = logits.shape as [number, number]
  const { nll, lse } = crossEntropy(logits, targets, { smoothing: 0 }) // (N) each
  const ignored = equal(cast(targets, "f32"), constant([ignoreIndex], [1])) // (N)
  const counted = affine(ignored, -1, 1) // (N)
  const count = sum(counted) // (1)
  const ce = div(sum(mul(counted, nll)), count) // (1)
  const squares = sum(mul(counted, mul(lse, lse))) // (1)
  const quirk = affine(affine(count, -1, N), Math.log(V) ** 2, 0) // (1)
  const z = div(affine(add(squares, quirk), zLoss, 0), count) // (1)
  return { loss: reshape(add(ce, z), [1]), ce, z }
}
