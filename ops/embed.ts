// The input side of the tied embedding: a row of the same panels that the output product reads.
import { op } from "../engine/index.ts"
import { take } from "./indexing.ts"
import { unpanel } from "./matmul.ts"
import { panelWidth } from "./pack.ts"

/** x[n] = E[ids[n]] in f32; ids lie in 0 … 16P−1 (the caller checks them against the vocabulary).
 *  ids (N), w (P, D, 16) → x (N, D) */
export const embed = op({
  name: "embed",
  sig: "ids:i32(N) w:f32|f16|bf16(P,D,16) -> x:(N,D)",
  params: "N P D wType",
  meaning: ({ ids, w }, { P }) => take(unpanel(w, P * panelWidth), ids),
  rows: ({ N }) => N,
  cost: ({ N, D, wType }) => ({ bytes: N * D * (4 + (wType === 0 ? 4 : 2)), flops: 0 }),
  cases: (["f32", "f16", "bf16"] as const).flatMap((wType) => [
    { N: 1, P: 3, D: 1280, wType },
    { N: 33, P: 2, D: 31, wType },
  ]),
  sample: (name, { P }) => (name === "ids" ? (i) => (i * 7) % (P * panelWidth) : undefined),
})
