// RMSNorm alone and fused with the residual add that comes before it (DESIGN: the norm must cost
// almost nothing). Kernels: rmsnorm.as.ts.
import { type Gradients, op, type Tensor } from "../engine/index.ts"
import { add, affine, mul, rsqrt, sub } from "./elementwise.ts"
import { permute, reshape } from "./movement.ts"
import { mean, sumRows } from "./reduce.ts"

/** rstd = (mean(x²) + eps)^-½ in plain ops.  x (N, D) → (N, 1) */
const rstdOf = (x: Tensor, eps: number): Tensor => rsqrt(affine(mean(mul(x, x)), 1, eps))

/** x·rstd·w over the last axis in plain ops, for a tensor of any rank. */
export const normalise = (x: Tensor, w: Tensor, eps: number): Tensor =>
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
    y: normalise(x, w, eps),
    rstd: reshape(rstdOf(x, eps), [N]),
  }),
  vjp: (d, { x, w, rstd }, { N }): Gradients | undefined => {
    if (!d.y || d.rstd) return undefined
    const r = reshape(rstd, [N, 1])
    const unit = mul(x, r)
    const g = mul(d.y, w)
    return {
      x: mul(r, sub(g, mul(unit, mean(mul(g, unit))))),
      w: sumRows(permute(mul(d.y, unit), [1, 0])),
    }
  },
  rows: ({ N }) => N,
  cost: ({ N, D }) => ({ bytes: 4 * (2 * N * D + D + N), flops: 4 * N * D }),
  cases: rowCases,
})

/** sum = x + d,  y = rmsNorm(sum, w): the residual add carried to the norm that follows it.
 *  x (N, D), d (N, D), w (D) → sum (N, D), y (N, D) */
export const addRmsNorm = op({
  name: "addRmsNorm",
  sig: "x:(N,D) d:(N,D) w:(D) -> sum:(N,D) y:(N,D)",
  params: "N D eps",
  meaning: ({ x, d, w }, { eps }) => {
    const sum = add(x, d)
    return { sum, y: normalise(sum, w, eps) }
  },
  rows: ({ N }) => N,
  cost: ({ N, D }) => ({ bytes: 4 * (4 * N * D + D), flops: 5 * N * D }),
  cases: rowCases,
})
