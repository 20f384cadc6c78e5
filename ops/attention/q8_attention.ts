// Attention over a q8 cache (q8_rows.ts). It means attention over the numbers that the bytes stand for; the
// CPU's kernel widens a block of keys at a time, a GPU's of few queries reads the bytes themselves.
// Kernels: attention.as.ts.
import { op, type Tensor } from "../../engine/index.ts"
import { attention } from "./attention.ts"
import { q8HeadsRefusal, qkNormRopeQ8 } from "./q8_heads.ts"
import { q8Refusal, q8RowBytes, readRowsQ8, sampleRows } from "./q8_rows.ts"
import { foursSizes } from "./rope.ts"
import { isSliceable, mergeParts, mixSlices, slicesOf } from "./rope_attention.ts"

type Sizes = Readonly<Record<"B" | "T" | "H" | "G" | "S" | "E", number>>

const refusal = ({ H, G, E }: Pick<Sizes, "H" | "G" | "E">): string | undefined =>
  H % G === 0 ? q8Refusal({ E }) : `${H} query heads do not share ${G} key heads evenly`

const cost = ({ B, T, H, G, S, E }: Sizes) => ({
  bytes: B * (8 * T * H * E + 2 * G * S * q8RowBytes(E)),
  flops: 4 * B * T * H * S * E,
})

/** Where a row of queries at a time serves a GPU. */
const byRows = ({ T, H, G, E }: Pick<Sizes, "T" | "H" | "G" | "E">): boolean =>
  T * H <= 64 * G && isSliceable(E)

const sampleOf = (name: string, sizes: Sizes): ((i: number) => number) | undefined => {
  if (name === "position") return (i) => Math.max(0, sizes.S - sizes.T - i)
  return name === "q" ? undefined : sampleRows(sizes)
}

/** Attention over the numbers that a cache's bytes stand for. */
const overNumbers = (
  { q, keys, values, position }: Readonly<Record<"q" | "keys" | "values" | "position", Tensor>>,
  { scale }: { readonly scale: number },
): Tensor => attention(q, readRowsQ8(keys), readRowsQ8(values), position, { scale })

/** attentionQ8 as a GPU has it for few queries of each key head.
 *  q (B·T, H·E), keys, values (B, G, S, E+4), position (B) → y (B·T, H·E) */
const attentionRowQ8 = op({
  name: "attentionRowQ8",
  sig: `q:(B*T,H*E) keys:u8(B,G,S,E+4) values:u8(B,G,S,E+4) position:i32(B) \
    -> y:(B*T,H*E)`,
  params: "B T H G S E scale",
  check: (sizes) =>
    refusal(sizes) ??
    (byRows(sizes) ? undefined : "more queries than 64 a key head, or no multiple of 8 up to 256"),
  meaning: overNumbers,
  gpu: [
    {
      from: [
        "attention/q8_attention.wgsl",
        "attention/attention_row.wgsl",
        "attention/q8_rows.wgsl",
      ],
      constants: ({ E }) => ({ width: E / 4 }),
      groups: ({ B, T, H, G }) => B * T * G * Math.ceil(H / G / 4),
      fours: ["q"],
    },
  ],
  isProduct: true,
  rows: ({ B, H, T }) => B * H * T,
  cost,
  cases: [
    { B: 1, T: 1, H: 12, G: 3, S: 300, E: 64, scale: 0.125 },
    { B: 2, T: 5, H: 4, G: 2, S: 9, E: 16, scale: 0.25 },
    { B: 3, T: 1, H: 20, G: 5, S: 70, E: 80, scale: 0.125 },
  ],
  sample: sampleOf,
})

/** Causal grouped-query attention over a q8 cache: attention of the numbers that it stands for.
 *  q (B·T, H·E), keys, values (B, G, S, E+4), position (B) → y (B·T, H·E) */
export const attentionQ8 = op({
  name: "attentionQ8",
  sig: `q:(B*T,H*E) keys:u8(B,G,S,E+4) values:u8(B,G,S,E+4) position:i32(B) \
    -> y:(B*T,H*E)`,
  params: "B T H G S E scale",
  check: refusal,
  meaning: overNumbers,
  alternatives: [
    {
      ops: [attentionRowQ8.op],
      when: byRows,
      meaning: ({ q, keys, values, position }, { scale }) =>
        attentionRowQ8(q, keys, values, position, { scale }),
    },
  ],
  isProduct: true,
  rows: ({ B, H, T }) => B * H * T,
  cost,
  cases: [
    { B: 1, T: 1, H: 12, G: 3, S: 300, E: 64, scale: 0.125 },
    { B: 2, T: 5, H: 4, G: 2, S: 9, E: 16, scale: 0.25 },
    { B: 1, T: 1, H: 6, G: 6, S: 45, E: 36, scale: 0.2 },
    { B: 1, T: 67, H: 4, G: 4, S: 140, E: 128, scale: 0.09 },
    { B: 2, T: 45, H: 8, G: 2, S: 70, E: 36, scale: 0.2 },
  ],
  sample: sampleOf,
})

const attrs = { eps: 1e-6, scale: 0.125 }

/** ropeAttentionParts over q8 caches.
 *  qkv (B, (H+2G)·E); qNorm, kNorm (E); angles (C, E); keys, values (B, G, S, E+4), updated in place;
 *  position (B) → parts (B, H, R, E+2) */
const ropeAttentionPartsQ8 = op({
  name: "ropeAttentionPartsQ8",
  sig: `qkv:(B,(H+2*G)*E) qNorm:(E) kNorm:(E) angles:(C,E) \
    keys:u8(B,G,S,E+4) values:u8(B,G,S,E+4) position:i32(B) \
    -> parts:(B,H,R,E+2) newKeys:u8(B,G,S,E+4) newValues:u8(B,G,S,E+4)`,
  params: "B H G S E R eps scale",
  alias: { newKeys: "keys", newValues: "values" },
  check: (sizes) =>
    refusal(sizes) ??
    (isSliceable(sizes.E) ? undefined : `head size E ${sizes.E} is no multiple of 8 up to 256`),
  meaning: ({ qkv, qNorm, kNorm, angles, keys, values, position }, sizes) => {
    const attrs = { eps: sizes.eps }
    const now = qkNormRopeQ8(qkv, qNorm, kNorm, angles, keys, values, position, attrs)
    const [k, v] = [readRowsQ8(now.newKeys), readRowsQ8(now.newValues)]
    return { ...now, parts: mixSlices(now.q, k, v, position, sizes) }
  },
  gpu: [
    {
      from: [
        "attention/q8_attention.wgsl",
        "attention/rope_attention.wgsl",
        "attention/attention_row.wgsl",
        "attention/rope_fours.wgsl",
        "attention/q8_rows.wgsl",
      ],
      constants: foursSizes,
      groups: ({ B, G, R }) => B * G * R,
      fours: ["qkv", "qNorm", "kNorm", "angles"],
    },
  ],
  norms: 2,
  isProduct: true,
  rows: ({ B, G, R }) => B * G * R,
  cost: ({ B, H, G, S, E, R }) => ({
    bytes: B * (4 * (H + 2 * G + H * R) * E + 2 * G * S * q8RowBytes(E)),
    flops: 4 * B * H * S * E,
  }),
  cases: [
    { B: 1, H: 12, G: 3, S: 300, E: 64, C: 300, R: 10, position: [299] },
    { B: 3, H: 6, G: 2, S: 70, E: 16, C: 80, R: 3, position: [0, 33, 69] },
    { B: 2, H: 8, G: 2, S: 75, E: 24, C: 75, R: 1, position: [74, 32] },
  ].map((test) => ({ ...test, ...attrs })),
  sample: (name, sizes) => (name === "keys" || name === "values" ? sampleRows(sizes) : undefined),
})

/** qkNormRopeQ8, then attentionQ8 over the caches that it gives. It has no kernel of its own.
 *  qkv (B·T, (H+2G)·E), qNorm, kNorm (E), angles (C, E), keys, values (B, G, S, E+4), updated in place,
 *  position (B) → y (B·T, H·E) */
export const ropeAttentionQ8 = op({
  name: "ropeAttentionQ8",
  sig: `qkv:(B*T,(H+2*G)*E) qNorm:(E) kNorm:(E) angles:(C,E) \
    keys:u8(B,G,S,E+4) values:u8(B,G,S,E+4) position:i32(B) \
    -> y:(B*T,H*E) newKeys:u8(B,G,S,E+4) newValues:u8(B,G,S,E+4)`,
  params: "B T H G S E eps scale",
  alias: { newKeys: "keys", newValues: "values" },
  check: (sizes) => q8HeadsRefusal(sizes) ?? refusal(sizes),
  meaning: ({ qkv, qNorm, kNorm, angles, keys, values, position }, { eps, scale }) => {
    const now = qkNormRopeQ8(qkv, qNorm, kNorm, angles, keys, values, position, { eps })
    return { ...now, y: attentionQ8(now.q, now.newKeys, now.newValues, position, { scale }) }
  },
  alternatives: [
    {
      ops: [ropeAttentionPartsQ8.op, mergeParts.op],
      when: ({ T, E }) => T === 1 && isSliceable(E),
      meaning: ({ qkv, qNorm, kNorm, angles, keys, values, position }, { S, eps, scale }) => {
        const attrs = { R: slicesOf(S), eps, scale }
        const now = ropeAttentionPartsQ8(qkv, qNorm, kNorm, angles, keys, values, position, attrs)
        return { ...now, y: mergeParts(now.parts) }
      },
    },
  ],
  norms: 2,
  isProduct: true,
  rows: ({ B, T, G }) => B * T * G,
  cost,
  cases: [
    { B: 1, T: 1, H: 12, G: 3, S: 300, E: 64, C: 300, position: [299] },
    { B: 1, T: 1, H: 4, G: 2, S: 40, E: 12, C: 40, position: [39] },
    { B: 2, T: 5, H: 4, G: 2, S: 9, E: 16, C: 9, position: [0, 4] },
  ].map((test) => ({ ...test, ...attrs })),
  sample: (name, sizes) => (name === "keys" || name === "values" ? sampleRows(sizes) : undefined),
})

export const q8AttentionOps = [
  attentionQ8.op,
  attentionRowQ8.op,
  ropeAttentionPartsQ8.op,
  ropeAttentionQ8.op,
]
