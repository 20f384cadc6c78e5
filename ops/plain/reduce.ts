// Plain ops along the last axis: sum, largest value, its index, running sum, sort; and the matrix
// product that every other product means.
import { type Gradients, op, type Shape, type Tensor } from "../../engine/index.ts"
import { add, affine, equal, mul, sub } from "./elementwise.ts"
import { broadcast, permute, reshape } from "./movement.ts"

const rowCost = ({ N, D }: { N: number; D: number }) => ({ bytes: 4 * N * D, flops: N * D })
const rowCases = [
  { N: 1, D: 1280 },
  { N: 3, D: 31 },
  { N: 33, D: 1 },
  { N: 2, D: 4099 },
] as const

/** y = Σ x over the last axis, accumulated in f64.  x (N, D) → y (N) */
export const sumRows = op({
  name: "sumRows",
  sig: "x:(N,D) -> y:(N)",
  params: "N D",
  compute({ x, y }, { N, D }) {
    for (let n = 0; n < N; n++) {
      let total = 0
      for (let d = 0; d < D; d++) total += x[n * D + d] as number
      y[n] = total
    }
  },
  vjp: ({ y }, _tensors, { N, D }): Gradients | undefined =>
    y && { x: broadcast(reshape(y, [N, 1]), [N, D]) },
  gpu: [{ from: ["plain/reduce.wgsl"] }],
  rows: ({ N }) => N,
  cost: rowCost,
  cases: rowCases,
})

/** y = max x over the last axis; the gradient goes to every place that holds it.  x (N, D) → y (N) */
export const maxRows = op({
  name: "maxRows",
  sig: "x:(N,D) -> y:(N)",
  params: "N D",
  compute({ x, y }, { N, D }) {
    for (let n = 0; n < N; n++) {
      let best = Number.NEGATIVE_INFINITY
      for (let d = 0; d < D; d++) best = Math.max(best, x[n * D + d] as number)
      y[n] = best
    }
  },
  vjp: (d, { x, y }, { N }): Gradients | undefined =>
    d.y && { x: mul(equal(x, reshape(y, [N, 1])), reshape(d.y, [N, 1])) },
  gpu: [{ from: ["plain/reduce.wgsl"] }],
  rows: ({ N }) => N,
  cost: rowCost,
  cases: rowCases,
})

/** Index of the largest value, the first of equals.  x (N, D) → y (N) */
export const argmax = op({
  name: "argmax",
  sig: "x:(N,D) -> y:i32(N)",
  params: "N D",
  compute({ x, y }, { N, D }) {
    for (let n = 0; n < N; n++) {
      let best = 0
      for (let d = 1; d < D; d++) {
        if ((x[n * D + d] as number) > (x[n * D + best] as number)) best = d
      }
      y[n] = best
    }
  },
  vjp: () => ({}),
  gpu: [{ from: ["plain/reduce.wgsl"] }],
  rows: ({ N }) => N,
  cost: rowCost,
  cases: rowCases,
})

/** y[i] = x[0] + … + x[i] along the last axis.  x (N, D) → y (N, D) */
export const cumsum = op({
  name: "cumsum",
  sig: "x:(N,D) -> y:(N,D)",
  params: "N D",
  compute({ x, y }, { N, D }) {
    for (let n = 0; n < N; n++) {
      let total = 0
      for (let d = 0; d < D; d++) {
        total += x[n * D + d] as number
        y[n * D + d] = total
      }
    }
  },
  vjp: ({ y }, _tensors, { N, D }): Gradients | undefined =>
    y && { x: add(broadcast(reshape(sumRows(y), [N, 1]), [N, D]), sub(y, cumsum(y))) },
  gpu: [{ from: ["plain/reduce.wgsl"] }],
  rows: ({ N }) => N,
  cost: rowCost,
  cases: rowCases,
})

/** Values of the last axis in falling order. No gradient.  x (N, D) → y (N, D) */
export const sort = op({
  name: "sort",
  sig: "x:(N,D) -> y:(N,D)",
  params: "N D",
  compute({ x, y }, { N, D }) {
    for (let n = 0; n < N; n++) {
      y.set(
        x
          .slice(n * D, n * D + D)
          .sort()
          .reverse(),
        n * D,
      )
    }
  },
  vjp: () => ({}),
  gpu: [{ from: ["plain/reduce.wgsl"] }],
  rows: ({ N }) => N,
  cost: rowCost,
  cases: rowCases,
})

/** y = a·bᵀ for each of B pairs.  a (B, M, K), b (B, N, K) → y (B, M, N) */
export const dot = op({
  name: "dot",
  sig: "a:(B,M,K) b:(B,N,K) -> y:(B,M,N)",
  params: "B M N K",
  compute({ a, b, y }, { B, M, N, K }) {
    for (let i = 0; i < B * M; i++) {
      const first = Math.floor(i / M) * N
      for (let n = 0; n < N; n++) {
        let total = 0
        for (let k = 0; k < K; k++) {
          total += (a[i * K + k] as number) * (b[(first + n) * K + k] as number)
        }
        y[i * N + n] = total
      }
    }
  },
  vjp: ({ y }, { a, b }): Gradients | undefined =>
    y && { a: dot(y, swapLast(b)), b: dot(swapLast(y), swapLast(a)) },
  gpu: [{ from: ["plain/reduce.wgsl"] }],
  rows: ({ B, M }) => B * M,
  cost: ({ B, M, N, K }) => ({ bytes: 4 * B * (M * K + N * K + M * N), flops: 2 * B * M * N * K }),
  cases: [
    { B: 1, M: 1, N: 13, K: 257 },
    { B: 3, M: 31, N: 5, K: 33 },
    { B: 1, M: 33, N: 65, K: 1 },
  ],
})

const swapLast = (x: Tensor): Tensor => permute(x, [0, 2, 1])

const overRows =
  (f: (rows: Tensor) => Tensor) =>
  (x: Tensor): Tensor => {
    const D = x.shape.at(-1) as number
    const shape: Shape = [...x.shape.slice(0, -1), 1]
    return reshape(f(reshape(x, [x.size / D, D])), shape)
  }

/** Σ over the last axis, which stays with size 1. */
export const sum = overRows(sumRows)
/** max over the last axis, which stays with size 1. */
export const max = overRows(maxRows)
/** Mean over the last axis, which stays with size 1. */
export const mean = (x: Tensor): Tensor => affine(sum(x), 1 / (x.shape.at(-1) as number), 0)

export const reduceOps = [sumRows.op, maxRows.op, argmax.op, cumsum.op, sort.op, dot.op]
