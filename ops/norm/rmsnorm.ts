// RMSNorm alone and fused with the residual add that comes before it, and their gradients: the norm
// must cost almost nothing. Kernels: rmsnorm.as.ts, rmsnorm_grad.as.ts.
import { type Gradients, op, type Tensor } from "../../engine/index.ts"
import { add, affine, mul, rsqrt, sub } from "../plain/elementwise.ts"
import { reshape } from "../plain/movement.ts"
import { mean } from "../plain/reduce.ts"
import { partsOf, sumBlocks, total, wrongParts } from "../shared/parts.ts"

/** rstd = (mean(x²) + eps)^-½ in plain ops.  x (N, D) → (N, 1) */
const rstdOf = (x: Tensor, eps: number): Tensor => rsqrt(affine(mean(mul(x, x)), 1, eps))

/** x·rstd·w over the last axis in plain ops, for a tensor of any rank. */
export const normalize = (x: Tensor, w: Tensor, eps: number): Tensor =>
  mul(mul(x, rstdOf(x, eps)), w)

const rowCases = [
  { N: 1, D: 1280, eps: 1e-6 },
  { N: 3, D: 31, eps: 1e-6 },
  { N: 33, D: 48, eps: 1e-5 },
  { N: 2, D: 4099, eps: 1e-6 },
  { N: 5, D: 1, eps: 1e-6 },
] as const

/** y = x·rstd·w,  rstd = (mean(x²) + eps)^-½ over the last axis; f32 with the sum in f32 lanes.
 *  x (N, D), w (D) → y (N, D), rstd (N).  Zhang & Sennrich 2019, eq. 4, arXiv 1910.07467 */
export const rmsNorm = op({
  name: "rmsNorm",
  sig: "x:(N,D) w:(D) -> y:(N,D) rstd:(N)",
  params: "N D eps",
  meaning: ({ x, w }, { N, eps }) => ({
    y: normalize(x, w, eps),
    rstd: reshape(rstdOf(x, eps), [N]),
  }),
  vjp: (d, { x, w, rstd }, { N }): Gradients | undefined => {
    if (!d.y || d.rstd) return undefined
    const { dx, dwParts } = rmsNormGrad(x, w, rstd, d.y, { R: partsOf(N) })
    return { x: dx, w: total(dwParts) }
  },
  gpu: [{ from: ["norm/rmsnorm.wgsl"], fours: ["x", "w", "y"], foursWhen: ({ D }) => D % 4 === 0 }],
  norms: 1,
  rows: ({ N }) => N,
  cost: ({ N, D }) => ({ bytes: 4 * (2 * N * D + D + N), flops: 4 * N * D }),
  cases: rowCases,
})

/** sum = x + d,  y = rmsNorm(sum, w): the residual add carried to the norm that follows it.
 *  x (N, D), d (N, D), w (D) → sum (N, D), y (N, D), rstd (N) */
export const addRmsNorm = op({
  name: "addRmsNorm",
  sig: "x:(N,D) d:(N,D) w:(D) -> sum:(N,D) y:(N,D) rstd:(N)",
  params: "N D eps",
  meaning: ({ x, d, w }, { N, eps }) => {
    const sum = add(x, d)
    return { sum, y: normalize(sum, w, eps), rstd: reshape(rstdOf(sum, eps), [N]) }
  },
  vjp: (d, { sum, w, rstd }, { N }): Gradients | undefined => {
    if (d.rstd) return undefined
    if (!d.y) return d.sum && { x: d.sum, d: d.sum }
    const R = partsOf(N)
    const { dx, dwParts } = d.sum
      ? addRmsNormGrad(sum, w, rstd, d.y, d.sum, { R })
      : rmsNormGrad(sum, w, rstd, d.y, { R })
    return { x: dx, d: dx, w: total(dwParts) }
  },
  gpu: [
    {
      from: ["norm/rmsnorm.wgsl"],
      fours: ["x", "d", "w", "sum", "y"],
      foursWhen: ({ D }) => D % 4 === 0,
    },
  ],
  norms: 1,
  rows: ({ N }) => N,
  cost: ({ N, D }) => ({ bytes: 4 * (4 * N * D + D + N), flops: 5 * N * D }),
  cases: rowCases,
})

const gradCases = rowCases.map(({ N, D }) => ({ N, D, R: partsOf(N) }))

/** With u = x·rstd and g = dy·w: dx = rstd·(g − u·mean(g·u)), dw = Σ dy·u over blocks of rows. */
function normGrad(x: Tensor, w: Tensor, rstd: Tensor, dy: Tensor) {
  const r = reshape(rstd, [rstd.size, 1]) // (N, 1)
  const [u, g] = [mul(x, r), mul(dy, w)] // (N, D)
  const dx = mul(r, sub(g, mul(u, mean(mul(g, u))))) // (N, D)
  return { dx, dwParts: sumBlocks(mul(dy, u)) }
}

/** Cotangents of x and w in y = rmsNorm(x, w), that of w in parts of 16 rows.
 *  x (N, D), w (D), rstd (N), dy (N, D) → dx (N, D), dwParts (R, D), R = ⌈N/16⌉ */
export const rmsNormGrad = op({
  name: "rmsNormGrad",
  sig: "x:(N,D) w:(D) rstd:(N) dy:(N,D) -> dx:(N,D) dwParts:(R,D)",
  params: "N D R",
  check: ({ N, R }) => wrongParts(N, R),
  meaning: ({ x, w, rstd, dy }) => normGrad(x, w, rstd, dy),
  gpu: [
    {
      from: ["norm/rmsnorm_grad.wgsl"],
      fours: ["x", "w", "dy", "dx", "dwParts"],
      foursWhen: ({ D }) => D % 4 === 0,
    },
  ],
  rows: ({ R }) => R,
  cost: ({ N, D, R }) => ({ bytes: 4 * (3 * N * D + R * D), flops: 9 * N * D }),
  cases: gradCases,
})

/** As rmsNormGrad, for sum = x + d with a cotangent of its own and y = rmsNorm(sum, w): dx is the
 *  cotangent of x and of d.
 *  sum (N, D), w (D), rstd (N), dy (N, D), dsum (N, D) → dx (N, D), dwParts (R, D), R = ⌈N/16⌉ */
export const addRmsNormGrad = op({
  name: "addRmsNormGrad",
  sig: "sum:(N,D) w:(D) rstd:(N) dy:(N,D) dsum:(N,D) -> dx:(N,D) dwParts:(R,D)",
  params: "N D R",
  check: ({ N, R }) => wrongParts(N, R),
  meaning: ({ sum, w, rstd, dy, dsum }) => {
    const { dx, dwParts } = normGrad(sum, w, rstd, dy)
    return { dx: add(dx, dsum), dwParts }
  },
  gpu: [
    {
      from: ["norm/rmsnorm_grad.wgsl"],
      fours: ["sum", "w", "dy", "dsum", "dx", "dwParts"],
      foursWhen: ({ D }) => D % 4 === 0,
    },
  ],
  rows: ({ R }) => R,
  cost: ({ N, D, R }) => ({ bytes: 4 * (4 * N * D + R * D), flops: 10 * N * D }),
  cases: gradCases,
})
