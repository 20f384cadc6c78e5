// The input side of the tied embedding: a row of the same panels that the output product reads.
// Kernel: embed.as.ts.
import { constant, op, type Tensor, vjpOf } from "../../engine/index.ts"
import { add, equal, select } from "../plain/elementwise.ts"
import { cast, take } from "../plain/indexing.ts"
import { broadcast } from "../plain/movement.ts"
import { panelWidth, unpanel } from "./panels.ts"

/** In place of a padding id: no row has this number. */
export const noPadding = 0xffffffff

/** x[n] = E[ids[n]] in f32; ids lie in 0 … 16P−1 (the caller checks them against the vocabulary).
 *  The row of the attribute Padding, if given, gets no gradient from here.
 *  ids (N), w (P, D, 16) → x (N, D) */
export const embed = op({
  name: "embed",
  sig: "ids:i32(N) w:f32|f16|bf16(P,D,16) -> x:(N,D)",
  params: "N P D wType",
  meaning: ({ ids, w }, { P }) => take(unpanel(w, P * panelWidth), ids),
  vjp: ({ x }, { ids, w }, { Padding = noPadding }) => {
    if (!x) return undefined
    const none = broadcast(constant([0], [1]), w.shape) // (P, D, 16)
    return { w: embedGrad(ids, x, none, { Padding }) }
  },
  gpu: [{ from: ["product/embed.wgsl"] }],
  rows: ({ N }) => N,
  cost: ({ N, D, wType }) => ({ bytes: N * D * (4 + (wType === 0 ? 4 : 2)), flops: 0 }),
  cases: (["f32", "f16", "bf16"] as const).flatMap((wType) => [
    { N: 1, P: 3, D: 1280, wType },
    { N: 33, P: 2, D: 31, wType },
  ]),
  sample: (name, { P }) => (name === "ids" ? (i) => (i * 7) % (P * panelWidth) : undefined),
})

/** dw = sum + the rows of dx at their ids, in the order of the ids, in the memory of sum; the row
 *  Padding gets none (a number outside the vocabulary stands for no such row).
 *  ids (N), dx (N, D), sum (P, D, 16) → dw (P, D, 16) */
export const embedGrad = op({
  name: "embedGrad",
  sig: "ids:i32(N) dx:(N,D) sum:(P,D,16) -> dw:(P,D,16)",
  params: "N D P Padding",
  alias: { dw: "sum" },
  meaning: ({ ids, dx, sum }, { P, Padding }) => {
    const rows = (w: Tensor) => [take(unpanel(w, P * panelWidth), without(ids, Padding))]
    return add(sum, vjpOf(rows, [sum], [dx])[0] as Tensor)
  },
  gpu: [{ from: ["product/embed_grad.wgsl"], groups: ({ D }) => Math.ceil(D / 64) }],
  rows: ({ D }) => D,
  cost: ({ N, D }) => ({ bytes: N * D * 12, flops: N * D }),
  cases: [
    { N: 33, P: 2, D: 31, Padding: 7 },
    { N: 5, P: 3, D: 1280, Padding: 48 },
  ],
  sample: (name, { P }) => (name === "ids" ? (i) => (i * 7) % (P * panelWidth) : undefined),
})

/** The ids with one of them replaced by −1, which stands for no row. */
function without(ids: Tensor, id: number): Tensor {
  const numbers = cast(ids, "f32")
  return cast(select(equal(numbers, constant([id], [1])), -1, numbers), "i32")
}
