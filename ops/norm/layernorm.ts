// LayerNorm: OLMo's norm, with ones and zeros for a weight and a bias, and what the paper compares with.
import { op } from "../../engine/index.ts"
import { add, affine, mul, rsqrt, sub } from "../plain/elementwise.ts"
import { mean } from "../plain/reduce.ts"

/** y = (x − mean(x))·(var(x) + eps)^-½·w + b over the last axis, biased variance.
 *  x (N, D), w (D), b (D) → y (N, D).  Ba et al. 2016, arXiv 1607.06450 */
export const layerNorm = op({
  name: "layerNorm",
  sig: "x:(N,D) w:(D) b:(D) -> y:(N,D)",
  params: "N D eps",
  meaning: ({ x, w, b }, { eps }) => {
    const centred = sub(x, mean(x))
    const rstd = rsqrt(affine(mean(mul(centred, centred)), 1, eps))
    return add(mul(mul(centred, rstd), w), b)
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
  cases: [
    { N: 1, D: 1280, eps: 1e-5 },
    { N: 3, D: 31, eps: 1e-5 },
    { N: 33, D: 48, eps: 1e-6 },
    { N: 2, D: 4099, eps: 1e-5 },
  ],
})
