// Causal grouped-query attention over the cache. Kernel: attention.as.ts.
import { constant, op, type Tensor } from "../../engine/index.ts"
import { softmaxOf } from "../logits/softmax.ts"
import { add, affine, less, select } from "../plain/elementwise.ts"
import { cast } from "../plain/indexing.ts"
import { broadcast, permute, reshape } from "../plain/movement.ts"
import { dot } from "../plain/reduce.ts"

/** What the scratch memory of a thread holds. */
const mostE = 1024

const range = (n: number): Tensor =>
  constant(
    Float32Array.from({ length: n }, (_, i) => i),
    [n],
  )

const f16 = { keysType: "f16", valuesType: "f16" } as const

export type AttentionSizes = Readonly<
  Record<"H" | "G" | "E" | "keysType", number> & { valuesType?: number }
>

/** What is wrong with the sizes, if anything. */
export const refusal = ({ H, G, E, keysType, valuesType }: AttentionSizes): string | undefined => {
  if (H % G) return `${H} query heads do not share ${G} key heads evenly`
  if (E > mostE) return `head size E ${E} is more than ${mostE}`
  return keysType === valuesType ? undefined : "keys and values are of two dtypes"
}

/** y = softmax(scale·q·kᵀ)·v over keys 0 … position[b]+t; query head h reads key head ⌊h·G/H⌋.
 *  Online softmax: memory does not grow with T·S. Keys and values in f16 have to be finite.
 *  q (B·T, H·E), keys, values (B, G, S, E), position (B) → y (B·T, H·E).
 *  Ainslie et al. 2023, arXiv 2305.13245; Milakov & Gimelshein 2018, arXiv 1805.02867 */
export const attention = op({
  name: "attention",
  sig: `q:(B*T,H*E) keys:f32|f16(B,G,S,E) values:f32|f16(B,G,S,E) position:i32(B) \
    -> y:(B*T,H*E)`,
  params: "B T H G S E scale keysType",
  check: refusal,
  meaning: ({ q, keys: k, values: v, position }, { B, T, H, G, S, E, scale }) => {
    const [keys, values] = [cast(k, "f32"), cast(v, "f32")]
    const R = (H / G) * T
    const heads = permute(reshape(q, [B, T, H, E]), [0, 2, 1, 3]) // (B, H, T, E)
    const scores = dot(reshape(heads, [B * G, R, E]), reshape(keys, [B * G, S, E])) // (B·G, R, S)
    const last = add(reshape(cast(position, "f32"), [B, 1]), range(T)) // (B, T)
    const hidden = less(reshape(last, [B, 1, T, 1]), range(S)) // (B, 1, T, S)
    const mask = reshape(broadcast(hidden, [B, H, T, S]), [B * G, R, S])
    const weights = softmaxOf(select(mask, -1e30, affine(scores, scale, 0))) // (B·G, R, S)
    const weighted = dot(weights, permute(reshape(values, [B * G, S, E]), [0, 2, 1])) // (B·G, R, E)
    return reshape(permute(reshape(weighted, [B, H, T, E]), [0, 2, 1, 3]), [B * T, H * E])
  },
  gpu: [
    {
      entry: "attentionRow",
      from: ["attention/attention_row.wgsl"],
      when: {
        text: "T·H ≤ 64·G, 8 | E ≤ 256",
        holds: ({ T, H, G, E }) => T * H <= 64 * G && E % 8 === 0 && E <= 256,
      },
      constants: ({ E }) => ({ width: E / 4 }),
      groups: ({ B, T, H, G }) => B * T * G * Math.ceil(H / G / 4),
      fours: ["q", "keys", "values"],
    },
    {
      entry: "attentionTile",
      from: ["attention/attention_tile.wgsl"],
      when: {
        text: "T·H > 64·G, 4 | E ≤ 128",
        holds: ({ T, H, G, E }) => T * H > 64 * G && E % 4 === 0 && E <= 128,
      },
      groups: ({ B, T, H, G }) => B * G * Math.ceil((T * H) / G / 32),
      fours: ["q", "keys", "values", "y"],
    },
    { from: ["attention/attention.wgsl"], groups: ({ B, T, H }) => B * T * H },
  ],
  isProduct: true,
  rows: ({ B, H, T }) => B * H * T,
  cost: ({ B, T, H, G, S, E, keysType }) => ({
    bytes: B * (8 * T * H * E + (keysType ? 4 : 8) * G * S * E),
    flops: 4 * B * T * H * S * E,
  }),
  cases: [
    { B: 1, T: 1, H: 12, G: 3, S: 300, E: 64, scale: 0.125 },
    { B: 2, T: 5, H: 4, G: 2, S: 9, E: 16, scale: 0.25 },
    { B: 1, T: 31, H: 2, G: 1, S: 33, E: 6, scale: 0.4 },
    { B: 1, T: 67, H: 4, G: 4, S: 140, E: 128, scale: 0.09 },
    { B: 3, T: 1, H: 20, G: 5, S: 70, E: 64, scale: 0.125 },
    { B: 1, T: 1, H: 6, G: 6, S: 45, E: 33, scale: 0.2 },
    { B: 1, T: 2, H: 70, G: 2, S: 35, E: 16, scale: 0.25 },
    { B: 2, T: 45, H: 8, G: 2, S: 70, E: 36, scale: 0.2 },
    { B: 1, T: 1, H: 12, G: 3, S: 300, E: 64, scale: 0.125, ...f16 },
    { B: 2, T: 5, H: 4, G: 2, S: 9, E: 16, scale: 0.25, ...f16 },
    { B: 1, T: 31, H: 2, G: 1, S: 33, E: 7, scale: 0.4, ...f16 },
    { B: 1, T: 67, H: 6, G: 2, S: 140, E: 112, scale: 0.09, ...f16 },
  ],
  sample: (name, { S, T }) => (name === "position" ? (i) => Math.max(0, S - T - i) : undefined),
})
