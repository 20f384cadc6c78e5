// Softmax over the last axis.
import { op, type Tensor } from "../../engine/index.ts"
import { div, exp, mul, sub } from "../plain/elementwise.ts"
import { max, sum } from "../plain/reduce.ts"

/** Softmax of the last axis in plain ops, for a tensor of any rank. */
export function softmaxOf(x: Tensor): Tensor {
  const e = exp(sub(x, max(x)))
  return div(e, sum(e))
}

/** y = exp(x − max x) / Σ exp(x − max x) over the last axis.  x (N, D) → y (N, D) */
export const softmax = op({
  name: "softmax",
  sig: "x:(N,D) -> y:(N,D)",
  params: "N D",
  meaning: ({ x }) => softmaxOf(x),
  vjp: (d, { y }) => d.y && { x: mul(y, sub(d.y, sum(mul(d.y, y)))) },
  gpu: [{ from: ["logits/softmax.wgsl"], fours: ["x", "y"], foursWhen: ({ D }) => D % 4 === 0 }],
  rows: ({ N }) => N,
  cost: ({ N, D }) => ({ bytes: 8 * N * D, flops: 20 * N * D }),
  cases: [
    { N: 1, D: 32000 },
    { N: 3, D: 31 },
    { N: 33, D: 1 },
    { N: 2, D: 4099 },
  ],
})
