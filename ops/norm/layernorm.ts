// LayerNorm and its gradient: OPT's and GPT-NeoX's norm, OLMo's with ones and zeros for a weight and a bias,
// and what the paper compares with.
import { type Gradients, op, type Tensor } from "../../engine/index.ts"
import { add, affine, mul, rsqrt, sub } from "../plain/elementwise.ts"
import { mean } from "../plain/reduce.ts"
import { partsOf, sumBlocks, total, wrongParts } from "../shared/parts.ts"

/** u = (x − mean(x))·rstd, rstd = (var(x) + eps)^-½ of each row in plain ops.  x (N, D) → (N, D), (N, 1) */
function centredOf(x: Tensor, eps: number): { u: Tensor; rstd: Tensor } {
  const centred = sub(x, mean(x))
  const rstd = rsqrt(affine(mean(mul(centred, centred)), 1, eps))
  return { u: mul(centred, rstd), rstd }
}

const cases = [
  { N: 1, D: 1280, eps: 1e-5 },
  { N: 3, D: 31, eps: 1e-5 },
  { N: 33, D: 48, eps: 1e-6 },
  { N: 2, D: 4099, eps: 1e-5 },
] as const

/** y = (x − mean(x))·(var(x) + eps)^-½·w + b over the last axis, biased variance.
 *  x (N, D), w (D), b (D) → y (N, D).  Ba et al. 2016, arXiv 1607.06450 */
export const layerNorm = op({
  name: "layerNorm",
  sig: "x:(N,D) w:(D) b:(D) -> y:(N,D)",
  params: "N D eps",
  meaning: ({ x, w, b }, { eps }) => add(mul(centredOf(x, eps).u, w), b),
  vjp: (d, { x, w }, { N, eps }): Gradients | undefined => {
    if (!d.y) return undefined
    const { dx, dwParts, dbParts } = layerNormGrad(x, w, d.y, { R: partsOf(N), eps })
    return { x: dx, w: total(dwParts), b: total(dbParts) }
  },
  gpu: [
    {
      from: ["norm/layernorm.wgsl"],
      fours: ["x", "w", "b", "y"],
      foursWhen: ({ D }) => D % 4 === 0,
    },
  ],
  norms: 1,
  rows: ({ N }) => N,
  cost: ({ N, D }) => ({ bytes: 4 * (2 * N * D + 2 * D), flops: 7 * N * D }),
  cases,
})

/** Cotangents of x, w and b in y = layerNorm(x, w, b), those of w and b in parts of 16 rows: with g = dy·w,
 *  dx = rstd·(g − mean(g) − u·mean(g·u)), dw = Σ dy·u, db = Σ dy.
 *  x (N, D), w (D), dy (N, D) → dx (N, D), dwParts (R, D), dbParts (R, D), R = ⌈N/16⌉ */
export const layerNormGrad = op({
  name: "layerNormGrad",
  sig: "x:(N,D) w:(D) dy:(N,D) -> dx:(N,D) dwParts:(R,D) dbParts:(R,D)",
  params: "N D R eps",
  check: ({ N, R }) => wrongParts(N, R),
  meaning: ({ x, w, dy }, { eps }) => {
    const { u, rstd } = centredOf(x, eps)
    const g = mul(dy, w) // (N, D)
    const dx = mul(rstd, sub(sub(g, mean(g)), mul(u, mean(mul(g, u))))) // (N, D)
    return { dx, dwParts: sumBlocks(mul(dy, u)), dbParts: sumBlocks(dy) }
  },
  gpu: [
    {
      from: ["norm/layernorm_grad.wgsl"],
      fours: ["x", "w", "dy", "dx", "dwParts", "dbParts"],
      foursWhen: ({ D }) => D % 4 === 0,
    },
  ],
  rows: ({ R }) => R,
  cost: ({ N, D, R }) => ({ bytes: 4 * (3 * N * D + 2 * R * D), flops: 16 * N * D }),
  // Of rows of two numbers, eps is all that the gradient has: one that f32 holds beside them.
  cases: cases.map((test) => ({ ...test, R: partsOf(test.N), eps: test.D < 48 ? 0.1 : test.eps })),
})
