// What comes after a product that has a bias: the bias alone, or an activation with it, and what their
// gradients need. In steps of their own; in the products' epilogues they would save a pass over the rows.
import { constant, type Gradients, op, type Tensor, vjpOf } from "../../engine/index.ts"
import { add, affine, erfc, less, mul, select } from "../plain/elementwise.ts"
import { total } from "../shared/parts.ts"

const sizes = [
  { N: 1, D: 5120 },
  { N: 3, D: 31 },
  { N: 33, D: 24 },
  { N: 2, D: 4099 },
] as const

/** Columns that a work item of a gelu, and a workgroup, has: 1024. */
const groups = ({ N, D }: { N: number; D: number }): number => N * Math.ceil(D / 1024)

/** x·Φ(x) = ½·x·erfc(−x/√2) in plain ops, exact: not the form with tanh. */
const gelu = (x: Tensor): Tensor => mul(affine(x, 0.5, 0), erfc(affine(x, -Math.SQRT1_2, 0)))

/** y = x + b of each row, in the memory of x.  x (N, D), b (D) → y (N, D) */
export const addBias = op({
  name: "addBias",
  sig: "x:(N,D) b:(D) -> y:(N,D)",
  params: "N D",
  alias: { y: "x" },
  meaning: ({ x, b }) => add(x, b),
  vjp: ({ y }): Gradients | undefined => y && { x: y, b: total(y) },
  gpu: [{ from: ["product/bias.wgsl"], groups }],
  rows: ({ N }) => N,
  cost: ({ N, D }) => ({ bytes: 8 * N * D + 4 * D, flops: N * D }),
  cases: sizes,
})

/** y = max(x + b, 0) in the memory of x.  x (N, D), b (D) → y (N, D) */
export const biasRelu = op({
  name: "biasRelu",
  sig: "x:(N,D) b:(D) -> y:(N,D)",
  params: "N D",
  alias: { y: "x" },
  meaning: ({ x, b }) => {
    const u = add(x, b)
    return select(less(u, constant([0], [1])), 0, u)
  },
  vjp: (d, { y }): Gradients | undefined => {
    if (!d.y) return undefined
    const du = reluGrad(y, d.y)
    return { x: du, b: total(du) }
  },
  gpu: [{ from: ["product/bias.wgsl"], groups }],
  rows: ({ N }) => N,
  cost: ({ N, D }) => ({ bytes: 8 * N * D + 4 * D, flops: 2 * N * D }),
  cases: sizes,
})

/** The cotangent of u in y = max(u, 0): dy where y is above 0.  y (N, D), dy (N, D) → du (N, D) */
const reluGrad = op({
  name: "reluGrad",
  sig: "y:(N,D) dy:(N,D) -> du:(N,D)",
  params: "N D",
  meaning: ({ y, dy }) => select(less(constant([0], [1]), y), dy, 0),
  gpu: [{ from: ["product/bias.wgsl"], groups }],
  rows: ({ N }) => N,
  cost: ({ N, D }) => ({ bytes: 12 * N * D, flops: N * D }),
  cases: sizes,
})

/** y = u·Φ(u), u = x + b, with the normal distribution Φ, exact.  x (N, D), b (D) → y (N, D)
 *  Hendrycks & Gimpel 2016, arXiv 1606.08415 */
export const biasGelu = op({
  name: "biasGelu",
  sig: "x:(N,D) b:(D) -> y:(N,D)",
  params: "N D",
  meaning: ({ x, b }) => gelu(add(x, b)),
  vjp: (d, { x, b }): Gradients | undefined => {
    if (!d.y) return undefined
    const du = biasGeluGrad(x, b, d.y)
    return { x: du, b: total(du) }
  },
  gpu: [{ from: ["product/bias.wgsl"], groups }],
  rows: groups,
  cost: ({ N, D }) => ({ bytes: 8 * N * D + 4 * D, flops: 40 * N * D }),
  cases: sizes,
})

/** The cotangent of u in y = u·Φ(u), u = x + b: dy·(Φ(u) + u·φ(u)).
 *  x (N, D), b (D), dy (N, D) → du (N, D) */
const biasGeluGrad = op({
  name: "biasGeluGrad",
  sig: "x:(N,D) b:(D) dy:(N,D) -> du:(N,D)",
  params: "N D",
  meaning: ({ x, b, dy }) => vjpOf((u) => [gelu(u)], [add(x, b)], [dy])[0] as Tensor,
  gpu: [{ from: ["product/bias.wgsl"], groups }],
  rows: ({ N }) => N,
  cost: ({ N, D }) => ({ bytes: 12 * N * D + 4 * D, flops: 60 * N * D }),
  cases: sizes,
})

export const biasOps = [addBias.op, biasRelu.op, reluGrad.op, biasGelu.op, biasGeluGrad.op]
