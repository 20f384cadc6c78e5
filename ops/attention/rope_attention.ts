// Between the qkv product and the output product: head norms, RoPE, the cache write and attention, as
// one op. It means qkNormRope and attention; of one position, where a backend has kernels for it, a
// step over slices of the cache side by side, as keeps a GPU busy, and one that puts them together.
import { constant, op, type Tensor } from "../../engine/index.ts"
import { add, affine, div, equal, exp, less, select, sub } from "../plain/elementwise.ts"
import { cast } from "../plain/indexing.ts"
import { broadcast, permute, reshape, slice, spreadInto, stridesOf } from "../plain/movement.ts"
import { dot, max, sum } from "../plain/reduce.ts"
import { type AttentionSizes, attention, refusal as attentionRefusal } from "./attention.ts"
import { foursSizes, qkNormRope, refusal as ropeRefusal } from "./rope.ts"

/** Positions that lie together in a slice; slice r has every R-th run of them, the r-th first. */
const run = 32
/** Slices that keep a large GPU busy and are quickly put together. */
const mostSlices = 32
const mostE = 256

/** Slices for a cache of S positions. */
export const slicesOf = (S: number): number => Math.min(mostSlices, Math.ceil(S / run))

/** Whether slices serve heads of this size. */
export const isSliceable = (E: number): boolean => E % 8 === 0 && E <= mostE

const range = (n: number, of: (i: number) => number = (i) => i): Tensor =>
  constant(
    Float32Array.from({ length: n }, (_, i) => of(i)),
    [n],
  )

/** 1 where position s is not of slice r, or after position[b].  → (B, 1, R, S) */
function hiddenOf(position: Tensor, R: number, S: number): Tensor {
  const [B] = position.shape as [number]
  const other = reshape(
    range(R * S, (i) => (Math.floor((i % S) / run) % R === Math.floor(i / S) ? 0 : 1)),
    [1, 1, R, S],
  )
  return add(other, less(reshape(cast(position, "f32"), [B, 1, 1, 1]), range(S)))
}

/** Tensors side by side on the last axis. */
function joined(tensors: readonly Tensor[]): Tensor {
  const [first] = tensors as [Tensor]
  const width = tensors.reduce((sum, x) => sum + (x.shape.at(-1) as number), 0)
  const target = [...first.shape.slice(0, -1), width]
  let start = 0
  return tensors
    .map((x) => {
      const placed = spreadInto(x, target, stridesOf(target), start)
      start += x.shape.at(-1) as number
      return placed
    })
    .reduce((a, b) => add(a, b))
}

const refusal = ({ H, G, E, keysType, valuesType }: AttentionSizes): string | undefined => {
  if (H % G) return `${H} query heads do not share ${G} key heads evenly`
  if (!isSliceable(E)) return `head size E ${E} is no multiple of 8 up to ${mostE}`
  return keysType === valuesType ? undefined : "keys and values are of two dtypes"
}

type SliceSizes = Readonly<Record<"B" | "H" | "G" | "S" | "E" | "R" | "scale", number>>

/** The parts of R slices.  q (B, H·E), keys, values (B, G, S, E), position (B) → (B, H, R, E+2) */
export function mixSlices(
  q: Tensor,
  keys: Tensor,
  values: Tensor,
  position: Tensor,
  { B, H, G, S, E, R, scale }: SliceSizes,
): Tensor {
  const k = reshape(keys, [B * G, S, E])
  const v = permute(reshape(values, [B * G, S, E]), [0, 2, 1]) // (B·G, E, S)
  const scores = affine(dot(reshape(q, [B * G, H / G, E]), k), scale, 0) // (B·G, H/G, S)
  const all = broadcast(reshape(scores, [B, H, 1, S]), [B, H, R, S])
  const hidden = broadcast(hiddenOf(position, R, S), [B, H, R, S])
  const most = max(select(hidden, -1e30, all)) // (B, H, R, 1)
  const top = select(less(most, constant([-1e29], [1])), 0, most) // (B, H, R, 1)
  const weights = select(hidden, 0, exp(sub(all, top))) // (B, H, R, S)
  const rows = reshape(weights, [B * G, (H / G) * R, S])
  const weighted = reshape(dot(rows, v), [B, H, R, E])
  return joined([weighted, top, sum(weights)])
}

const f16 = { keysType: "f16", valuesType: "f16" } as const
const attrs = { eps: 1e-6, scale: 0.125 }

/** qkNormRope and attention of one position of each sequence, where keys are split into R slices:
 *  slice r has positions 32·r … 32·r + 31, and so on every 32·R, up to position[b].
 *  qkv (B, (H+2G)·E); qNorm, kNorm (E); angles (C, E); keys, values (B, G, S, E), updated in place;
 *  position (B) → parts (B, H, R, E+2): Σ w·v, then m = max s, then Σ w of the scores s = scale·q·k of
 *  a slice, w = exp(s − m); zeros where it has no position.  Dao et al. 2023, "Flash-Decoding" */
export const ropeAttentionParts = op({
  name: "ropeAttentionParts",
  sig: `qkv:(B,(H+2*G)*E) qNorm:(E) kNorm:(E) angles:(C,E) \
    keys:f32|f16(B,G,S,E) values:f32|f16(B,G,S,E) position:i32(B) \
    -> parts:(B,H,R,E+2) newKeys:f32|f16(B,G,S,E) newValues:f32|f16(B,G,S,E)`,
  params: "B H G S E R eps scale keysType",
  alias: { newKeys: "keys", newValues: "values" },
  check: refusal,
  meaning: ({ qkv, qNorm, kNorm, angles, keys, values, position }, sizes) => {
    const attrs = { eps: sizes.eps }
    const now = qkNormRope(qkv, qNorm, kNorm, angles, keys, values, position, attrs)
    const [k, v] = [cast(now.newKeys, "f32"), cast(now.newValues, "f32")]
    return { ...now, parts: mixSlices(now.q, k, v, position, sizes) }
  },
  gpu: [
    {
      from: [
        "attention/rope_attention.wgsl",
        "attention/attention_row.wgsl",
        "attention/rope_fours.wgsl",
      ],
      constants: foursSizes,
      groups: ({ B, G, R }) => B * G * R,
      fours: ["qkv", "qNorm", "kNorm", "angles", "keys", "values"],
    },
  ],
  norms: 2,
  isProduct: true,
  rows: ({ B, G, R }) => B * G * R,
  cost: ({ B, H, G, S, E, R, keysType }) => ({
    bytes: B * (4 * (H + 2 * G + H * R) * E + (keysType ? 4 : 8) * G * S * E),
    flops: 4 * B * H * S * E,
  }),
  cases: [
    { B: 1, H: 12, G: 3, S: 300, E: 64, C: 300, R: 10, position: [299] },
    { B: 1, H: 4, G: 1, S: 64, E: 128, C: 64, R: 2, position: [0] },
    { B: 3, H: 6, G: 2, S: 70, E: 16, C: 80, R: 3, position: [0, 33, 69] },
    { B: 2, H: 10, G: 2, S: 130, E: 8, C: 130, R: 2, position: [129, 31] },
    { B: 1, H: 1, G: 1, S: 40, E: 256, C: 40, R: 1, position: [39] },
    { B: 1, H: 12, G: 3, S: 300, E: 64, C: 300, R: 32, position: [40], ...f16 },
    { B: 2, H: 8, G: 2, S: 75, E: 24, C: 75, R: 1, position: [74, 32], ...f16 },
  ].map((test) => ({ ...test, ...attrs })),
})

/** What ropeAttentionParts' slices are together: softmax(s)·v of all positions.
 *  parts (B, H, R, E+2) → y (B, H·E) */
export const mergeParts = op({
  name: "mergeParts",
  sig: "parts:(B,H,R,E+2) -> y:(B,H*E)",
  params: "B H R E",
  meaning: ({ parts }, { B, H, R, E }) => {
    const column = (first: number, count: number): Tensor => slice(parts, 3, first, count)
    const [top, total] = [column(E, 1), column(E + 1, 1)] // (B, H, R, 1)
    const empty = equal(total, constant([0], [1]))
    const most = max(reshape(select(empty, -1e30, top), [B, H, 1, R])) // (B, H, 1, 1)
    const factor = select(empty, 0, exp(sub(top, most))) // (B, H, R, 1)
    const summed = (x: Tensor, N: number): Tensor => {
      const columns = permute(reshape(x, [B * H, R, N]), [0, 2, 1]) // (B·H, N, R)
      return dot(reshape(factor, [B * H, 1, R]), columns) // (B·H, 1, N)
    }
    return reshape(div(summed(column(0, E), E), summed(total, 1)), [B, H * E])
  },
  check: ({ R }) => (R > mostSlices ? `${R} slices are more than ${mostSlices}` : undefined),
  gpu: [
    {
      from: ["attention/rope_attention.wgsl"],
      constants: () => ({ mostSlices }),
      groups: ({ B, H }) => B * H,
    },
  ],
  rows: ({ B, H }) => B * H,
  cost: ({ B, H, R, E }) => ({ bytes: 4 * B * H * (R * (E + 2) + E), flops: 2 * B * H * R * E }),
  cases: [
    { B: 1, H: 12, R: 32, E: 64 },
    { B: 2, H: 3, R: 3, E: 136 },
    { B: 3, H: 1, R: 1, E: 8 },
  ],
  sample:
    (_, { E }) =>
    (i) => {
      const column = i % (E + 2)
      return column > E ? 1 + (i % 7) : Math.sin(3 * i) * (column === E ? 4 : 1)
    },
})

/** qkNormRope, then attention over the caches that it gives. It has no kernel of its own.
 *  qkv (B·T, (H+2G)·E), qNorm, kNorm (E), angles (C, E), keys, values (B, G, S, E), updated in place,
 *  position (B) → y (B·T, H·E) */
export const ropeAttention = op({
  name: "ropeAttention",
  sig: `qkv:(B*T,(H+2*G)*E) qNorm:(E) kNorm:(E) angles:(C,E) \
    keys:f32|f16(B,G,S,E) values:f32|f16(B,G,S,E) position:i32(B) \
    -> y:(B*T,H*E) newKeys:f32|f16(B,G,S,E) newValues:f32|f16(B,G,S,E)`,
  params: "B T H G S E eps scale keysType",
  alias: { newKeys: "keys", newValues: "values" },
  check: (sizes) => ropeRefusal(sizes) ?? attentionRefusal(sizes),
  meaning: ({ qkv, qNorm, kNorm, angles, keys, values, position }, { eps, scale }) => {
    const here = qkNormRope(qkv, qNorm, kNorm, angles, keys, values, position, { eps })
    const { q, newKeys, newValues } = here
    return { y: attention(q, newKeys, newValues, position, { scale }), newKeys, newValues }
  },
  alternatives: [
    {
      ops: [ropeAttentionParts.op, mergeParts.op],
      when: ({ T, E }) => T === 1 && isSliceable(E),
      meaning: ({ qkv, qNorm, kNorm, angles, keys, values, position }, { S, eps, scale }) => {
        const attrs = { R: slicesOf(S), eps, scale }
        const now = ropeAttentionParts(qkv, qNorm, kNorm, angles, keys, values, position, attrs)
        return { y: mergeParts(now.parts), newKeys: now.newKeys, newValues: now.newValues }
      },
    },
  ],
  norms: 2,
  isProduct: true,
  rows: ({ B, T, G }) => B * T * G,
  cost: ({ B, T, H, G, S, E, keysType }) => ({
    bytes: B * (8 * T * (H + G) * E + (keysType ? 4 : 8) * G * S * E),
    flops: 4 * B * T * H * S * E,
  }),
  cases: [
    { B: 1, T: 1, H: 12, G: 3, S: 300, E: 64, C: 300, position: [299] },
    { B: 3, T: 1, H: 6, G: 2, S: 70, E: 16, C: 80, position: [0, 33, 69] },
    { B: 1, T: 1, H: 4, G: 2, S: 40, E: 6, C: 40, position: [39] },
    { B: 2, T: 5, H: 4, G: 2, S: 9, E: 16, C: 9, position: [0, 4] },
    { B: 2, T: 1, H: 8, G: 2, S: 75, E: 24, C: 75, position: [74, 32], ...f16 },
  ].map((test) => ({ ...test, ...attrs })),
})
