// The gated activation of the feed-forward network.
import { op, type Tensor } from "../engine/index.ts"
import { add, affine, mul, sigmoid } from "./elementwise.ts"
import { slice, spreadInto } from "./movement.ts"

/** silu(g)·v with g and v the two halves of the last axis, in plain ops.  u (N, 2F) → (N, F) */
export function gated(u: Tensor): Tensor {
  const F = (u.shape[1] as number) / 2
  const gate = slice(u, 1, 0, F)
  return mul(mul(gate, sigmoid(gate)), slice(u, 1, F, F))
}

/** y = silu(g)·v,  [g, v] = halves of u,  silu(g) = g / (1 + e^-g); the first half is the gate.
 *  u (N, 2F) → y (N, F).  Shazeer 2020, arXiv 2002.05202 */
export const swiglu = op({
  name: "swiglu",
  sig: "u:(N,2*F) -> y:(N,F)",
  params: "N F",
  meaning: ({ u }) => gated(u),
  vjp: (d, { u }, { F }) => {
    if (!d.y) return undefined
    const [gate, value] = [slice(u, 1, 0, F), slice(u, 1, F, F)]
    const s = sigmoid(gate)
    const slope = mul(s, affine(mul(gate, affine(s, -1, 1)), 1, 1))
    return { u: join(mul(mul(d.y, value), slope), mul(d.y, mul(gate, s))) }
  },
  rows: ({ N }) => N,
  cost: ({ N, F }) => ({ bytes: 12 * N * F, flops: 20 * N * F }),
  cases: [
    { N: 1, F: 5120 },
    { N: 3, F: 31 },
    { N: 33, F: 24 },
    { N: 2, F: 4099 },
  ],
})

/** [a, b] side by side along the last axis. */
function join(a: Tensor, b: Tensor): Tensor {
  const [N, F] = a.shape as [number, number]
  const target = [N, 2 * F]
  return add(spreadInto(a, target, [2 * F, 1]), spreadInto(b, target, [2 * F, 1], F))
}
