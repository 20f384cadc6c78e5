// What stands between the qkv product and attention (rope.ts), for a q8 cache (q8_rows.ts).
// Kernels: rope.as.ts.
import { op } from "../../engine/index.ts"
import { q8Refusal, q8RowBytes, sampleRows, writeRowsQ8 } from "./q8_rows.ts"
import { inCaches, normedHeads, plainHeads, positionOf, ropeCost, turnedHeads } from "./rope.ts"

type Sizes = Readonly<Record<"E" | "T" | "S", number>>

/** What is wrong with the sizes, if anything. */
export const q8HeadsRefusal = ({ E, T, S }: Sizes): string | undefined =>
  q8Refusal({ E }) ?? (T > S ? `${T} positions do not fit a cache of ${S}` : undefined)

const cost = (sizes: Parameters<typeof ropeCost>[0]) => {
  const { B, T, G, E } = sizes
  const { bytes, flops } = ropeCost(sizes)
  return { bytes: bytes - 2 * B * T * G * (4 * E - q8RowBytes(E)), flops }
}

const sampleOf = (name: string, sizes: Sizes): ((i: number) => number) | undefined =>
  name === "keys" || name === "values" ? sampleRows(sizes) : positionOf(name, sizes)

const cases = [
  { B: 1, T: 1, H: 12, G: 3, S: 64, E: 64, C: 64 },
  { B: 2, T: 5, H: 4, G: 2, S: 9, E: 16, C: 31 },
  { B: 1, T: 3, H: 2, G: 1, S: 33, E: 12, C: 33 },
  { B: 1, T: 7, H: 4, G: 4, S: 11, E: 136, C: 16 },
] as const

/** qkNormRope into q8 caches.  qkv (B·T, (H+2G)·E); qNorm, kNorm (E); angles (C, E); keys, values
 *  (B, G, S, E+4), updated in place; position (B) → q (B·T, H·E) */
export const qkNormRopeQ8 = op({
  name: "qkNormRopeQ8",
  sig: `qkv:(B*T,(H+2*G)*E) qNorm:(E) kNorm:(E) angles:(C,E) \
    keys:u8(B,G,S,E+4) values:u8(B,G,S,E+4) position:i32(B) \
    -> q:(B*T,H*E) newKeys:u8(B,G,S,E+4) newValues:u8(B,G,S,E+4)`,
  params: "B T H G S E eps",
  alias: { newKeys: "keys", newValues: "values" },
  check: q8HeadsRefusal,
  meaning: (x, sizes) => inCaches(normedHeads(x, sizes), x, writeRowsQ8),
  gpu: [{ from: ["attention/q8_heads.wgsl", "attention/q8_rows.wgsl", "attention/rope.wgsl"] }],
  norms: 2,
  rows: ({ B, T, H, G }) => B * T * (H + 2 * G),
  cost,
  cases: cases.map((test) => ({ ...test, eps: 1e-6 })),
  sample: sampleOf,
})

/** ropeHeads into q8 caches.  qkv (B·T, (H+2G)·E); angles (C, E); keys, values (B, G, S, E+4), updated in
 *  place; position (B) → q (B·T, H·E) */
export const ropeHeadsQ8 = op({
  name: "ropeHeadsQ8",
  sig: `qkv:(B*T,(H+2*G)*E) angles:(C,E) \
    keys:u8(B,G,S,E+4) values:u8(B,G,S,E+4) position:i32(B) \
    -> q:(B*T,H*E) newKeys:u8(B,G,S,E+4) newValues:u8(B,G,S,E+4)`,
  params: "B T H G S E",
  alias: { newKeys: "keys", newValues: "values" },
  check: q8HeadsRefusal,
  meaning: (x, sizes) => inCaches(turnedHeads(x, sizes), x, writeRowsQ8),
  gpu: [{ from: ["attention/q8_heads.wgsl", "attention/q8_rows.wgsl", "attention/rope.wgsl"] }],
  rows: ({ B, T, H, G }) => B * T * (H + 2 * G),
  cost,
  cases,
  sample: sampleOf,
})

/** splitHeads into q8 caches.  qkv (B·T, (H+2G)·E); keys, values (B, G, S, E+4), updated in place;
 *  position (B) → q (B·T, H·E) */
export const splitHeadsQ8 = op({
  name: "splitHeadsQ8",
  sig: `qkv:(B*T,(H+2*G)*E) \
    keys:u8(B,G,S,E+4) values:u8(B,G,S,E+4) position:i32(B) \
    -> q:(B*T,H*E) newKeys:u8(B,G,S,E+4) newValues:u8(B,G,S,E+4)`,
  params: "B T H G S E",
  alias: { newKeys: "keys", newValues: "values" },
  check: q8HeadsRefusal,
  meaning: (x, sizes) => inCaches(plainHeads(x, sizes), x, writeRowsQ8),
  gpu: [{ from: ["attention/q8_heads.wgsl", "attention/q8_rows.wgsl"] }],
  rows: ({ B, T, H, G }) => B * T * (H + 2 * G),
  cost,
  cases: cases.map(({ C: _, ...sizes }) => sizes),
  sample: sampleOf,
})

export const q8HeadOps = [qkNormRopeQ8.op, ropeHeadsQ8.op, splitHeadsQ8.op]
