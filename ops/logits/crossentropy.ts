// Cross-entropy of each row, and its gradient in the memory of the logits; how rows make a loss is
// the objective's (train/objectives). Kernels: crossentropy.as.ts.
import { constant, op, type Tensor } from "../../engine/index.ts"
import { add, affine, equal, exp, log, mul, sub } from "../plain/elementwise.ts"
import { cast } from "../plain/indexing.ts"
import { reshape } from "../plain/movement.ts"
import { max, sum } from "../plain/reduce.ts"

/** (1 − smoothing)·onehot(target) + smoothing/V; a target outside 0 … V−1 has no one.  → (N, V) */
function wanted(targets: Tensor, V: number, smoothing: number): Tensor {
  const N = targets.size
  const vocabulary = constant(
    Float32Array.from({ length: V }, (_, v) => v),
    [V],
  )
  const chosen = equal(reshape(cast(targets, "f32"), [N, 1]), vocabulary)
  return affine(chosen, 1 - smoothing, smoothing / V)
}

const cases = [
  { N: 1, V: 32000, smoothing: 0 },
  { N: 18, V: 50, smoothing: 0.1 },
  { N: 3, V: 1283, smoothing: 0 },
  { N: 5, V: 1, smoothing: 0 },
] as const

const sample = (name: string, { V }: { V: number }) =>
  name === "targets" ? (i: number) => (i * 7) % V : undefined

/** lse = ln Σ exp(logits),  nll = lse − Σ wanted·logits,  wanted = (1 − smoothing)·onehot(target) +
 *  smoothing/V; a target outside 0 … V−1 has no one.  logits (N, V), targets (N) → nll (N), lse (N).
 *  Label smoothing: Szegedy et al. 2015, section 7, arXiv 1512.00567 */
export const crossEntropy = op({
  name: "crossEntropy",
  sig: "logits:(N,V) targets:i32(N) -> nll:(N) lse:(N)",
  params: "N V smoothing",
  meaning: ({ logits, targets }, { N, V, smoothing }) => {
    const top = max(logits) // (N, 1)
    const lse = add(log(sum(exp(sub(logits, top)))), top) // (N, 1)
    const chosen = mul(wanted(targets, V, smoothing), logits)
    return { nll: reshape(sub(lse, sum(chosen)), [N]), lse: reshape(lse, [N]) }
  },
  vjp: (d, { logits, targets, lse }, { N, smoothing }) => {
    if (!d.nll && !d.lse) return undefined
    const none = constant(new Float32Array(N), [N])
    const attrs = { smoothing }
    return {
      logits: crossEntropyGrad(logits, targets, lse, d.nll ?? none, d.lse ?? none, attrs),
    }
  },
  gpu: [
    {
      from: ["logits/crossentropy.wgsl", "logits/softmax.wgsl"],
      fours: ["logits"],
      foursWhen: ({ V }) => V % 4 === 0,
    },
  ],
  rows: ({ N }) => N,
  cost: ({ N, V }) => ({ bytes: 4 * N * V, flops: 20 * N * V }),
  cases,
  sample,
})

/** d = (dnll + dlse)·softmax(logits) − dnll·wanted, in the memory of the logits.
 *  logits (N, V), targets (N), lse (N), dnll (N), dlse (N) → d (N, V) */
export const crossEntropyGrad = op({
  name: "crossEntropyGrad",
  sig: "logits:(N,V) targets:i32(N) lse:(N) dnll:(N) dlse:(N) -> d:(N,V)",
  params: "N V smoothing",
  alias: { d: "logits" },
  meaning: ({ logits, targets, lse, dnll, dlse }, { N, V, smoothing }) => {
    const column = (x: Tensor): Tensor => reshape(x, [N, 1])
    const p = exp(sub(logits, column(lse))) // (N, V)
    const all = mul(p, column(add(dnll, dlse))) // (N, V)
    return sub(all, mul(wanted(targets, V, smoothing), column(dnll)))
  },
  gpu: [
    {
      from: ["logits/crossentropy_grad.wgsl", "logits/softmax.wgsl"],
      fours: ["logits"],
      foursWhen: ({ V }) => V % 4 === 0,
    },
  ],
  rows: ({ N }) => N,
  cost: ({ N, V }) => ({ bytes: 8 * N * V, flops: 20 * N * V }),
  cases,
  sample,
})
