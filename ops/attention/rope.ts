// Between the qkv product and attention: per-head RMSNorm of queries and keys, rotary positions and
// the write to the cache, in one step. Kernel: rope.as.ts.
import { constant, type KernelCondition, op, type Tensor } from "../../engine/index.ts"
import { normalize } from "../norm/rmsnorm.ts"
import { add, mul } from "../plain/elementwise.ts"
import { castFinite, readRows, writeRows } from "../plain/indexing.ts"
import { broadcast, permute, reshape, restride, slice, stridesOf } from "../plain/movement.ts"

/** inv_freq[j] = base^(−2j/E) in float32, j < E/2. */
export const ropeFrequencies = (E: number, base: number): Float32Array =>
  Float32Array.from({ length: E / 2 }, (_, j) => base ** ((-2 * j) / E))

/** A row per position: E/2 cosines, then E/2 sines. The angle position·inv_freq is rounded to
 *  float32 first, as the weights were trained with.  → (positions, E).  Su et al. 2021, 2104.09864 */
export function ropeAngles(positions: number, frequencies: Float32Array): Float32Array {
  const half = frequencies.length
  const table = new Float32Array(positions * 2 * half)
  for (let p = 0; p < positions; p++) {
    for (let j = 0; j < half; j++) {
      const angle = Math.fround(p * (frequencies[j] as number))
      table[p * 2 * half + j] = Math.cos(angle)
      table[p * 2 * half + half + j] = Math.sin(angle)
    }
  }
  return table
}

/** y1 = x1·cos − x2·sin, y2 = x2·cos + x1·sin for the halves x1, x2 of the last axis, plain ops.
 *  x (B, H, T, E), angles (B or 1, 1, T, E) → (B, H, T, E) */
export function rotate(x: Tensor, angles: Tensor): Tensor {
  const [B, H, T, E] = x.shape as [number, number, number, number]
  const half = E / 2
  const pairs = reshape(x, [B, H, T, 2, half])
  const strides = stridesOf(pairs.shape)
  const swapped = restride(x, {
    shape: pairs.shape,
    strides: strides.map((s, axis) => (axis === 3 ? -s : s)),
    offset: half,
  })
  const table = reshape(angles, [angles.shape[0] as number, 1, T, 2, half])
  const [cos, sin] = [slice(table, 3, 0, 1), slice(table, 3, 1, 1)]
  const signed = mul(sin, constant([-1, 1], [2, 1]))
  return reshape(add(mul(pairs, cos), mul(swapped, signed)), x.shape)
}

/** Heads first … first + count − 1 as (B, count, T, E), of heads (B, T, all, E). */
export const headsOf =
  (heads: Tensor) =>
  (first: number, count: number): Tensor =>
    permute(slice(heads, 2, first, count), [0, 2, 1, 3])

/** The rows of each sequence's positions.  angles (C, E), position (B) → (B, 1, T, E) */
function anglesAt(angles: Tensor, position: Tensor, B: number, T: number): Tensor {
  const [C, E] = angles.shape as [number, number]
  const table = broadcast(reshape(angles, [1, 1, C, E]), [B, 1, C, E])
  return readRows(table, position, { T })
}

export const positionOf = (name: string, { S, T }: { S: number; T: number }) =>
  name === "position" ? (i: number) => Math.max(0, Math.min(3 + i, S - T)) : undefined

type RopeSizes = Readonly<Record<"E" | "T" | "S" | "keysType", number> & { valuesType?: number }>

/** What is wrong with the sizes, if anything. */
export const refusal = ({ E, T, S, keysType, valuesType }: RopeSizes): string | undefined => {
  if (E % 2) return `head size E ${E} is odd`
  if (keysType !== valuesType) return "keys and values are of two dtypes"
  return T > S ? `${T} positions do not fit a cache of ${S}` : undefined
}

export const ropeCost = ({ B, T, H, G, E }: Record<"B" | "T" | "H" | "G" | "E", number>) => ({
  bytes: 8 * B * T * (H + 2 * G) * E,
  flops: 8 * B * T * (H + G) * E,
})

const ropeCases = [
  { B: 1, T: 1, H: 12, G: 3, S: 64, E: 64, C: 64 },
  { B: 2, T: 5, H: 4, G: 2, S: 9, E: 16, C: 31 },
  { B: 1, T: 3, H: 2, G: 1, S: 33, E: 6, C: 33 },
  { B: 1, T: 7, H: 4, G: 4, S: 11, E: 128, C: 16 },
  { B: 1, T: 1, H: 12, G: 3, S: 64, E: 64, C: 64, keysType: "f16", valuesType: "f16" },
  { B: 2, T: 3, H: 2, G: 1, S: 9, E: 6, C: 9, keysType: "f16", valuesType: "f16" },
] as const

/** x (B, G, T, E) into a cache, in the cache's dtype. */
const written = (cache: Tensor, x: Tensor, position: Tensor): Tensor =>
  writeRows(cache, castFinite(x, cache.dtype), position)

/** Heads of qkv: queries as attention takes them, keys and values as a cache does. */
interface Heads {
  readonly q: Tensor // (B·T, H·E)
  readonly k: Tensor // (B, G, T, E)
  readonly v: Tensor // (B, G, T, E)
}

type Names<N extends string, T> = Readonly<Record<N, T>>
type HeadSizes = Names<"B" | "T" | "H" | "G" | "E", number>

/** What qkNormRope makes of qkv, but for the caches. */
export function normedHeads(
  x: Names<"qkv" | "qNorm" | "kNorm" | "angles" | "position", Tensor>,
  { B, T, H, G, E, eps }: HeadSizes & { readonly eps: number },
): Heads {
  const part = headsOf(reshape(x.qkv, [B, T, H + 2 * G, E]))
  const here = anglesAt(x.angles, x.position, B, T) // (B, 1, T, E)
  const q = rotate(normalize(part(0, H), x.qNorm, eps), here) // (B, H, T, E)
  const k = rotate(normalize(part(H, G), x.kNorm, eps), here) // (B, G, T, E)
  return { q: reshape(permute(q, [0, 2, 1, 3]), [B * T, H * E]), k, v: part(H + G, G) }
}

/** The same of ropeHeads. */
export function turnedHeads(
  { qkv, angles, position }: Names<"qkv" | "angles" | "position", Tensor>,
  { B, T, H, G, E }: HeadSizes,
): Heads {
  const part = headsOf(reshape(qkv, [B, T, H + 2 * G, E]))
  const here = anglesAt(angles, position, B, T) // (B, 1, T, E)
  const q = rotate(part(0, H), here) // (B, H, T, E)
  const k = rotate(part(H, G), here) // (B, G, T, E)
  return { q: reshape(permute(q, [0, 2, 1, 3]), [B * T, H * E]), k, v: part(H + G, G) }
}

/** The same of splitHeads. */
export function plainHeads({ qkv }: Names<"qkv", Tensor>, { B, T, H, G, E }: HeadSizes): Heads {
  const part = headsOf(reshape(qkv, [B, T, H + 2 * G, E]))
  return { q: slice(qkv, 1, 0, H * E), k: part(H, G), v: part(H + G, G) }
}

/** Keys and values in their caches, by what writes rows into one. */
export const inCaches = (
  { q, k, v }: Heads,
  { keys, values, position }: Names<"keys" | "values" | "position", Tensor>,
  write: (cache: Tensor, rows: Tensor, position: Tensor) => Tensor,
) => ({ q, newKeys: write(keys, k, position), newValues: write(values, v, position) })

/** Where rope_fours.wgsl serves a GPU. */
export const byFours: KernelCondition<{ E: number }> = {
  text: "8 | E ≤ 1024",
  holds: ({ E }) => E % 8 === 0 && E <= 1024,
}
/** Fours of a head, and heads side by side in a workgroup of 256 lanes. */
export function foursSizes({ E }: { E: number }) {
  const width = E / 4
  return { width, side: (256 - (256 % width)) / width }
}
export const foursGroups = ({ B, T, H, G, E }: Record<"B" | "T" | "H" | "G" | "E", number>) =>
  Math.ceil((B * T * (H + 2 * G)) / foursSizes({ E }).side)

/** q = rope(rmsNorm(q)), and rope(rmsNorm(k)) and v go into the caches, at positions position[b] … +T−1.
 *  qkv (B·T, (H+2G)·E): heads of queries, then keys, then values; qNorm, kNorm (E); angles (C, E);
 *  keys, values (B, G, S, E), updated in place; position (B) → q (B·T, H·E).
 *  In f16 caches, numbers beyond ±65504 become that. */
export const qkNormRope = op({
  name: "qkNormRope",
  sig: `qkv:(B*T,(H+2*G)*E) qNorm:(E) kNorm:(E) angles:(C,E) \
    keys:f32|f16(B,G,S,E) values:f32|f16(B,G,S,E) position:i32(B) \
    -> q:(B*T,H*E) newKeys:f32|f16(B,G,S,E) newValues:f32|f16(B,G,S,E)`,
  params: "B T H G S E eps keysType",
  alias: { newKeys: "keys", newValues: "values" },
  check: refusal,
  meaning: (x, sizes) => inCaches(normedHeads(x, sizes), x, written),
  gpu: [
    {
      entry: "qkNormRopeFours",
      from: ["attention/rope_fours.wgsl", "attention/rope_attention.wgsl"],
      when: byFours,
      constants: foursSizes,
      groups: foursGroups,
      fours: ["qkv", "qNorm", "kNorm", "angles", "keys", "values", "q"],
    },
    { from: ["attention/rope.wgsl"] },
  ],
  norms: 2,
  rows: ({ B, T, H, G }) => B * T * (H + 2 * G),
  cost: ropeCost,
  cases: ropeCases.map((test) => ({ ...test, eps: 1e-6 })),
  sample: positionOf,
})

/** qkNormRope without the norms, of queries, keys and values in tensors of their own; for comparisons.
 *  q (B·T, H·E), k, v (B·T, G·E), angles (C, E), keys, values (B, G, S, E), position (B)
 *  → y (B·T, H·E), the caches updated in place */
export const ropeWrite = op({
  name: "ropeWrite",
  sig: `q:(B*T,H*E) k:(B*T,G*E) v:(B*T,G*E) angles:(C,E) \
    keys:f32|f16(B,G,S,E) values:f32|f16(B,G,S,E) position:i32(B) \
    -> y:(B*T,H*E) newKeys:f32|f16(B,G,S,E) newValues:f32|f16(B,G,S,E)`,
  params: "B T H G S E keysType",
  alias: { newKeys: "keys", newValues: "values" },
  check: refusal,
  meaning: ({ q, k, v, angles, keys, values, position }, { B, T, H, G, E }) => {
    const here = anglesAt(angles, position, B, T) // (B, 1, T, E)
    const split = (x: Tensor, count: number) => headsOf(reshape(x, [B, T, count, E]))(0, count)
    const y = rotate(split(q, H), here) // (B, H, T, E)
    return {
      y: reshape(permute(y, [0, 2, 1, 3]), [B * T, H * E]),
      newKeys: written(keys, rotate(split(k, G), here), position),
      newValues: written(values, split(v, G), position),
    }
  },
  gpu: [{ from: ["attention/rope.wgsl"] }],
  rows: ({ B, T, H, G }) => B * T * (H + 2 * G),
  cost: ropeCost,
  cases: ropeCases,
  sample: positionOf,
})

/** Workgroups of 256 lanes, of which each has two neighbouring numbers of a head. */
const twosGroups = ({ B, T, H, G, E }: Record<"B" | "T" | "H" | "G" | "E", number>) =>
  Math.ceil((B * T * (H + 2 * G) * E) / 512)

/** qkNormRope without the norms: q = rope(q), and rope(k) and v go into the caches.
 *  qkv (B·T, (H+2G)·E); angles (C, E); keys, values (B, G, S, E), updated in place; position (B)
 *  → q (B·T, H·E).  In f16 caches, numbers beyond ±65504 become that. */
export const ropeHeads = op({
  name: "ropeHeads",
  sig: `qkv:(B*T,(H+2*G)*E) angles:(C,E) \
    keys:f32|f16(B,G,S,E) values:f32|f16(B,G,S,E) position:i32(B) \
    -> q:(B*T,H*E) newKeys:f32|f16(B,G,S,E) newValues:f32|f16(B,G,S,E)`,
  params: "B T H G S E keysType",
  alias: { newKeys: "keys", newValues: "values" },
  check: refusal,
  meaning: (x, sizes) => inCaches(turnedHeads(x, sizes), x, written),
  gpu: [{ from: ["attention/rope.wgsl"], groups: twosGroups }],
  rows: ({ B, T, H, G }) => B * T * (H + 2 * G),
  cost: ropeCost,
  cases: ropeCases,
  sample: positionOf,
})

/** The same where positions are not in queries and keys: q as it is, k and v go into the caches.
 *  qkv (B·T, (H+2G)·E); keys, values (B, G, S, E), updated in place; position (B) → q (B·T, H·E) */
export const splitHeads = op({
  name: "splitHeads",
  sig: `qkv:(B*T,(H+2*G)*E) \
    keys:f32|f16(B,G,S,E) values:f32|f16(B,G,S,E) position:i32(B) \
    -> q:(B*T,H*E) newKeys:f32|f16(B,G,S,E) newValues:f32|f16(B,G,S,E)`,
  params: "B T H G S E keysType",
  alias: { newKeys: "keys", newValues: "values" },
  check: refusal,
  meaning: (x, sizes) => inCaches(plainHeads(x, sizes), x, written),
  gpu: [{ from: ["attention/rope.wgsl"], groups: twosGroups }],
  rows: ({ B, T, H, G }) => B * T * (H + 2 * G),
  cost: ropeCost,
  cases: ropeCases.map(({ C: _, ...sizes }) => sizes),
  sample: positionOf,
})
