// The input side of the tied embedding: a row of the same panels that the output product reads.
// Kernel: embed.as.ts.
import { constant, type Gradients, op, type Tensor, vjp } from "../engine/index.ts"
import { equal, select } from "./elementwise.ts"
import { cast, take } from "./indexing.ts"
import { unpanel } from "./matmul.ts"
import { panelWidth } from "./pack.ts"

/** x[n] = E[ids[n]] in f32; ids lie in 0 … 16P−1 (the caller checks them against the vocabulary).
 *  The row of the attribute Padding, if given, gets no gradient from here.
 *  ids (N), w (P, D, 16) → x (N, D) */
export const embed = op({
  name: "embed",
  sig: "ids:i32(N) w:f32|f16|bf16(P,D,16) -> x:(N,D)",
  params: "N P D wType",
  meaning: ({ ids, w }, { P }) => take(unpanel(w, P * panelWidth), ids),
  vjp: ({ x }, { ids, w }, { P, Padding }): Gradients | undefined => {
    if (!x || Padding === undefined) return undefined
    const rows = take(unpanel(w, P * panelWidth), without(ids, Padding))
    const [dw] = vjp([rows], [x], [w])
    return { w: dw as Tensor }
  },
  rows: ({ N }) => N,
  cost: ({ N, D, wType }) => ({ bytes: N * D * (4 + (wType === 0 ? 4 : 2)), flops: 0 }),
  cases: (["f32", "f16", "bf16"] as const).flatMap((wType) => [
    { N: 1, P: 3, D: 1280, wType },
    { N: 33, P: 2, D: 31, wType },
  ]),
  sample: (name, { P }) => (name === "ids" ? (i) => (i * 7) % (P * panelWidth) : undefined),
})

/** The ids with one of them replaced by −1, which stands for no row. */
function without(ids: Tensor, id: number): Tensor {
  const numbers = cast(ids, "f32")
  return cast(select(equal(numbers, constant([id], [1])), -1, numbers), "i32")
}
