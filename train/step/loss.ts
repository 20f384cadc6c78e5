// The head of the model with its loss and its gradient, some rows at a time: logits of a vocabulary
// are never held for more rows than fit.
import { constant, type Tensor } from "../../engine/index.ts"
import type { DecoderConfig } from "../../model/index.ts"
import {
  add,
  affine,
  broadcast,
  cast,
  crossEntropy,
  crossEntropyGrad,
  div,
  equal,
  matmul,
  matmulGradWAdd,
  matmulGradX,
  mul,
  reshape,
  slice,
  sum,
  writeRows,
} from "../../ops/index.ts"

export interface LossSettings {
  /** Targets of this id carry no loss. */
  readonly ignoreIndex: number
  /** Weight of the z-loss; 0 leaves it out. */
  readonly zLoss: number
  /** Part of the wanted probability that is spread over the whole vocabulary. */
  readonly labelSmoothing: number
}

export interface HeadLoss {
  readonly loss: Tensor // (1)
  readonly ce: Tensor // (1)
  readonly z: Tensor // (1)
  readonly da: Tensor // (N, D)
  readonly dw: Tensor // (P, D, 16)
}

/** Logits that are held at a time: 64 MiB. */
const heldNumbers = 2 ** 24

/** Loss of logits = a·Eᵀ as model/loss.ts means it, its terms, and its gradients, over `count`
 *  targets: of more than these rows, where they are a part of a mean.
 *  a (N, D), w (P, D, 16), targets i32 (N), count (1) */
export function headLoss(
  a: Tensor,
  w: Tensor,
  { targets, count }: { readonly targets: Tensor; readonly count: Tensor },
  { vocabSize: V }: DecoderConfig,
  { ignoreIndex, zLoss, labelSmoothing: smoothing }: LossSettings,
): HeadLoss {
  const [N, D] = a.shape as [number, number]
  const ignored = equal(cast(targets, "f32"), constant([ignoreIndex], [1])) // (N)
  const weight = div(affine(ignored, -1, 1), count) // (N)
  let ce = constant([0], [1])
  let squares = constant([0], [1])
  let da = broadcast(constant([0], [1]), [1, 1, N, D])
  let dw = broadcast(constant([0], [1]), w.shape)
  const blocks = Math.ceil((N * V) / heldNumbers)
  const most = Math.ceil(N / blocks)
  for (let at = 0; at < N; at += most) {
    const rows = Math.min(most, N - at)
    const part = (x: Tensor): Tensor => (rows === N ? x : slice(x, 0, at, rows))
    const [x, t, share] = [part(a), cast(part(cast(targets, "f32")), "i32"), part(weight)] as Rows
    const logits = matmul(x, w, { N: V }) // (rows, V)
    const { nll, lse } = crossEntropy(logits, t, { smoothing })
    ce = add(ce, sum(mul(share, nll)))
    squares = add(squares, sum(mul(share, mul(lse, lse))))
    const dlse = affine(mul(share, lse), 2 * zLoss, 0) // (rows)
    const dlogits = crossEntropyGrad(logits, t, lse, share, dlse, { smoothing }) // (rows, V)
    const dx = matmulGradX(dlogits, w) // (rows, D)
    dw = matmulGradWAdd(dlogits, x, dw)
    da = rows === N ? dx : writeRows(da, reshape(dx, [1, 1, rows, D]), constant([at], [1], "i32"))
  }
  // The original counts an ignored row as one of equal logits; a constant, no gradient.
  const quirk = div(affine(sum(ignored), Math.log(V) ** 2, 0), count) // (1)
  const z = affine(add(squares, quirk), zLoss, 0) // (1)
  return { loss: add(ce, z), ce, z, da: reshape(da, [N, D]), dw }
}

type Rows = [x: Tensor, targets: Tensor, weight: Tensor]
