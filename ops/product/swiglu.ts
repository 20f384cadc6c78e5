// The gated activation of the feed-forward network.
import { op, type Tensor, vjpOf } from "../../engine/index.ts"
import { add, affine, mul, sigmoid } from "../plain/elementwise.ts"
import { reshape, slice, spreadInto } from "../plain/movement.ts"
import { panelWidth } from "./panels.ts"

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
  gpu: [{ from: ["product/swiglu.wgsl"], groups: ({ N, F }) => N * Math.ceil(F / 1024) }],
  rows: ({ N }) => N,
  cost: ({ N, F }) => ({ bytes: 12 * N * F, flops: 20 * N * F }),
  cases: [
    { N: 1, F: 5120 },
    { N: 3, F: 31 },
    { N: 33, F: 24 },
    { N: 2, F: 4099 },
  ],
})

const panelCases = [
  { N: 1, P: 3, F: 48 },
  { N: 33, P: 2, F: 31 },
  // Just beyond a panel, by fewer numbers than a vector has.
  { N: 3, P: 2, F: 18 },
  { N: 2, P: 3, F: 33 },
  { N: 5, P: 1, F: 1 },
] as const

const fits = ({ F, P }: { F: number; P: number }) =>
  Math.ceil(F / panelWidth) === P ? undefined : `F ${F} takes 2·${Math.ceil(F / panelWidth)} panels`

/** silu(g)·v in plain ops, g and v in alternating runs of 16.  u (N, 32P) → (N, F) */
function gatedPanels(u: Tensor, F: number): Tensor {
  const [N, width] = u.shape as [number, number]
  const runs = reshape(u, [N, width / 32, 2, panelWidth])
  const half = (i: number) => slice(reshape(slice(runs, 2, i, 1), [N, width / 2]), 1, 0, F)
  const gate = half(0)
  return mul(mul(gate, sigmoid(gate)), half(1))
}

/** y = silu(g)·v where g and v alternate in runs of 16, as the panels of proj_1 give them.
 *  u (N, 32P) → y (N, F), 16(P−1) < F ≤ 16P */
export const swigluPanels = op({
  name: "swigluPanels",
  sig: "u:(N,32*P) -> y:(N,F)",
  params: "N P F",
  check: fits,
  meaning: ({ u }, { F }) => gatedPanels(u, F),
  vjp: (d, { u }) => (d.y ? { u: swigluPanelsGrad(u, d.y) } : undefined),
  gpu: [{ from: ["product/swiglu_panels.wgsl"] }],
  rows: ({ N }) => N,
  cost: ({ N, F }) => ({ bytes: 12 * N * F, flops: 20 * N * F }),
  cases: panelCases,
})

/** The cotangent of u in y = swigluPanels(u), zeros beside the F pairs.
 *  u (N, 32P), dy (N, F) → du (N, 32P) */
export const swigluPanelsGrad = op({
  name: "swigluPanelsGrad",
  sig: "u:(N,32*P) dy:(N,F) -> du:(N,32*P)",
  params: "N P F",
  check: fits,
  meaning: ({ u, dy }, { F }) => vjpOf((x) => [gatedPanels(x, F)], [u], [dy])[0] as Tensor,
  gpu: [{ from: ["product/swiglu_panels.wgsl"] }],
  rows: ({ N }) => N,
  cost: ({ N, F }) => ({ bytes: 20 * N * F, flops: 30 * N * F }),
  cases: panelCases,
})

/** [a, b] side by side along the last axis. */
function join(a: Tensor, b: Tensor): Tensor {
  const [N, F] = a.shape as [number, number]
  const target = [N, 2 * F]
  return add(spreadInto(a, target, [2 * F, 1]), spreadInto(b, target, [2 * F, 1], F))
}
