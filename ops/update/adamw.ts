// The optimizer's ops: the squares that make a gradient's norm, and AdamW in one step per parameter.
// Kernels: adamw.as.ts. What the rates are is the trainer's.
import { constant, op, type Tensor } from "../../engine/index.ts"
import { add, affine, div, exp, less, log, mul, select, sub } from "../plain/elementwise.ts"
import { broadcast, reshape, slice, spreadInto } from "../plain/movement.ts"
import { sumRows } from "../plain/reduce.ts"

/** Numbers whose squares are summed into one part. */
export const squaresPerPart = 65536
/** Numbers that AdamW takes as one work item. */
const numbersPerItem = 4096

const numbers = [{ N: 1 }, { N: 33 }, { N: 4099 }, { N: 70001 }] as const

/** parts[r] = Σ x² over 65,536 numbers each, summed in f64.  x (N) → parts (R), R = ⌈N/65536⌉ */
export const squareSums = op({
  name: "squareSums",
  sig: "x:(N) -> parts:(R)",
  params: "N R",
  check: ({ N, R }) => (Math.ceil(N / squaresPerPart) === R ? undefined : `N ${N} takes other R`),
  meaning: ({ x }, { R }) => {
    const padded = spreadInto(x, [R * squaresPerPart], [1])
    return sumRows(mul(reshape(padded, [R, squaresPerPart]), reshape(padded, [R, squaresPerPart])))
  },
  gpu: [{ from: ["update/adamw.wgsl"], fours: ["x"], foursWhen: ({ N }) => N % 4 === 0 }],
  rows: ({ R }) => R,
  cost: ({ N }) => ({ bytes: 4 * N, flops: 2 * N }),
  cases: numbers.map(({ N }) => ({ N, R: Math.ceil(N / squaresPerPart) })),
})

const sqrt = (x: Tensor): Tensor => exp(affine(log(x), 0.5, 0))

/** AdamW with decoupled weight decay, in place.  m ← β₁m + (1−β₁)g·scale,  v ← β₂v + (1−β₂)(g·scale)²,
 *  p ← p − lr·decay·p − rate·m / (√v·root + eps), with rates = [lr, rate = lr/(1−β₁ᵗ),
 *  root = 1/√(1−β₂ᵗ)]. A scale below 0 leaves all three as they are.
 *  p, m, v, g (N), rates (3), scale (1).  Loshchilov & Hutter 2017, algorithm 2, arXiv 1711.05101 */
export const adamW = op({
  name: "adamW",
  sig: "p:(N) m:(N) v:(N) g:(N) rates:(3) scale:(1) -> newP:(N) newM:(N) newV:(N)",
  params: "N beta1 beta2 eps decay",
  alias: { newP: "p", newM: "m", newV: "v" },
  meaning: ({ p, m, v, g, rates, scale }, { N, beta1: b1, beta2: b2, eps, decay }) => {
    // As kernels have them, and rates are made with: 1 − 0.999 is another number by 1e-5 of it.
    const [beta1, beta2] = [Math.fround(b1), Math.fround(b2)]
    const kept = broadcast(less(scale, constant([0], [1])), [N])
    const [lr, rate, root] = [0, 1, 2].map((i) => slice(rates, 0, i, 1)) as Rates
    const gradient = mul(g, scale)
    const newM = add(affine(m, beta1, 0), affine(gradient, 1 - beta1, 0))
    const newV = add(affine(v, beta2, 0), affine(mul(gradient, gradient), 1 - beta2, 0))
    const move = div(mul(newM, rate), affine(mul(sqrt(newV), root), 1, eps))
    const newP = sub(sub(p, mul(p, affine(lr, decay, 0))), move)
    return {
      newP: select(kept, p, newP),
      newM: select(kept, m, newM),
      newV: select(kept, v, newV),
    }
  },
  vjp: () => ({}),
  gpu: [
    { from: ["update/adamw.wgsl"], fours: ["p", "m", "v", "g"], foursWhen: ({ N }) => N % 4 === 0 },
  ],
  rows: ({ N }) => Math.ceil(N / numbersPerItem),
  cost: ({ N }) => ({ bytes: 28 * N, flops: 14 * N }),
  cases: numbers.flatMap(({ N }) =>
    [0.5, -1].map((scale) => ({
      N,
      beta1: 0.9,
      beta2: 0.95,
      eps: 1e-8,
      decay: 0.1,
      scale: [scale],
    })),
  ),
  sample: (name) =>
    name === "v"
      ? (i) => 0.01 + (i % 7) / 10
      : name === "rates"
        ? (i) => [1e-3, 2e-3, 1.5][i] as number
        : undefined,
})

/** y = a + b in the memory of a.  a, b (N) → y (N) */
export const accumulate = op({
  name: "accumulate",
  sig: "a:(N) b:(N) -> y:(N)",
  params: "N",
  alias: { y: "a" },
  meaning: ({ a, b }) => add(a, b),
  gpu: [{ from: ["update/adamw.wgsl"], fours: ["a", "b"], foursWhen: ({ N }) => N % 4 === 0 }],
  rows: ({ N }) => Math.ceil(N / numbersPerItem),
  cost: ({ N }) => ({ bytes: 12 * N, flops: N }),
  cases: numbers,
})

type Rates = [Tensor, Tensor, Tensor]

export const adamWOps = [squareSums.op, adamW.op, accumulate.op]
