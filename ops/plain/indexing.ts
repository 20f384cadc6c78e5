// Plain ops that read or write places known only when the plan runs, and conversions of dtype.
import {
  constant,
  type DType,
  decode,
  encode,
  type Gradients,
  type Op,
  op,
  plain,
  type Tensor,
} from "../../engine/index.ts"
import { less, select } from "./elementwise.ts"

const largestF16 = 65504

/** What a check sees beside the params: the dtypes of all inputs. */
type DTypes = Readonly<Record<"cacheType", number> & Partial<Record<"rowsType", number>>>

type Taking = Readonly<Record<"w" | "ids" | "x", Float64Array>>

function takeEach({ w, ids, x }: Taking, { V, D, N }: Record<"V" | "D" | "N", number>): void {
  for (let n = 0; n < N; n++) {
    const id = ids[n] as number
    for (let d = 0; d < D; d++) x[n * D + d] = id >= 0 && id < V ? (w[id * D + d] as number) : 0
  }
}

/** x[n] = w[ids[n]]; an id outside 0 … V−1 gives a row of zeros.  w (V, D), ids (N) → x (N, D) */
export const take = op({
  name: "take",
  sig: "w:(V,D) ids:i32(N) -> x:(N,D)",
  params: "V D N",
  compute: takeEach,
  vjp: ({ x }, { ids }, { V }): Gradients | undefined => x && { w: scatterAdd(x, ids, { V }) },
  gpu: [{ from: ["plain/indexing.wgsl"] }],
  rows: ({ N }) => N,
  cost: ({ N, D }) => ({ bytes: 8 * N * D, flops: 0 }),
  cases: [
    { V: 12, D: 5, N: 18 },
    { V: 33, D: 31, N: 1 },
  ],
  sample: (name, { V }) => (name === "ids" ? (i) => (i * 7) % V : undefined),
})

/** take of rows of bytes, a multiple of 4 each.  w (V, D), ids (N) → x (N, D) */
export const takeBytes = op({
  name: "takeBytes",
  sig: "w:u8(V,D) ids:i32(N) -> x:u8(N,D)",
  params: "V D N",
  check: ({ D }) => (D % 4 === 0 ? undefined : `rows of ${D} bytes are no multiple of 4`),
  compute: takeEach,
  vjp: () => ({}),
  gpu: [{ from: ["plain/indexing.wgsl"] }],
  rows: ({ N }) => N,
  cost: ({ N, D }) => ({ bytes: 2 * N * D, flops: 0 }),
  cases: [{ V: 12, D: 68, N: 18 }],
  sample:
    (name, { V }) =>
    (i) =>
      name === "ids" ? (i * 7) % (V + 1) : (i * 11) % 256,
})

/** y[id] = Σ g[n] where ids[n] = id, in order of n.  g (N, D), ids (N) → y (V, D) */
export const scatterAdd = op({
  name: "scatterAdd",
  sig: "g:(N,D) ids:i32(N) -> y:(V,D)",
  params: "N D V",
  compute({ g, ids, y }, { N, D, V }) {
    y.fill(0)
    for (let n = 0; n < N; n++) {
      const id = ids[n] as number
      if (id < 0 || id >= V) continue
      for (let d = 0; d < D; d++)
        y[id * D + d] = (y[id * D + d] as number) + (g[n * D + d] as number)
    }
  },
  vjp: ({ y }, { ids }): Gradients | undefined => y && { g: take(y, ids) },
  gpu: [{ from: ["plain/indexing.wgsl"] }],
  rows: ({ V }) => V,
  cost: ({ N, D, V }) => ({ bytes: 4 * (N + V) * D, flops: N * D }),
  cases: [
    { V: 12, D: 5, N: 18 },
    { V: 3, D: 33, N: 31 },
  ],
  sample: (name, { V }) => (name === "ids" ? (i) => (i * 7) % V : undefined),
})

/** The cache with rows position … position + T − 1 replaced, in the cache's own memory where the
 *  old value is not needed; both of one dtype.
 *  cache (B, G, S, E), rows (B, G, T, E), position (B) → y (B, G, S, E) */
export const writeRows = op({
  name: "writeRows",
  sig: "cache:f32|f16(B,G,S,E) rows:f32|f16(B,G,T,E) position:i32(B) -> y:f32|f16(B,G,S,E)",
  params: "B G S E T cacheType",
  alias: { y: "cache" },
  check: ({ cacheType, rowsType }: DTypes) =>
    cacheType === rowsType ? undefined : "cache and rows are of two dtypes",
  compute({ cache, rows, position, y }, { B, G, S, E, T }) {
    if (y !== cache) y.set(cache.subarray(0, y.length))
    for (let bg = 0; bg < B * G; bg++) {
      const at = (bg * S + (position[Math.floor(bg / G)] as number)) * E
      for (let i = 0; i < T * E; i++) y[at + i] = rows[bg * T * E + i] as number
    }
  },
  vjp: ({ y }, { position, rows }, { T }): Gradients | undefined =>
    y && {
      cache: writeRows(y, constant(new Float32Array(rows.size), rows.shape), position),
      rows: readRows(y, position, { T }),
    },
  gpu: [{ from: ["plain/indexing.wgsl"] }],
  rows: ({ B, G }) => B * G,
  cost: ({ B, G, T, E }) => ({ bytes: 8 * B * G * T * E, flops: 0 }),
  cases: [
    { B: 2, G: 3, S: 9, E: 8, T: 2 },
    { B: 1, G: 1, S: 33, E: 31, T: 1 },
    { B: 1, G: 2, S: 9, E: 31, T: 3, cacheType: "f16", rowsType: "f16" },
  ],
  sample: (name, { S, T }) => (name === "position" ? (i) => Math.min(3 + i, S - T) : undefined),
})

/** Rows position … position + T − 1.  cache (B, G, S, E), position (B) → y (B, G, T, E) */
export const readRows = op({
  name: "readRows",
  sig: "cache:(B,G,S,E) position:i32(B) -> y:(B,G,T,E)",
  params: "B G S E T",
  compute({ cache, position, y }, { B, G, S, E, T }) {
    for (let bg = 0; bg < B * G; bg++) {
      const at = (bg * S + (position[Math.floor(bg / G)] as number)) * E
      for (let i = 0; i < T * E; i++) y[bg * T * E + i] = cache[at + i] as number
    }
  },
  vjp: ({ y }, { cache, position }): Gradients | undefined =>
    y && { cache: writeRows(constant(new Float32Array(cache.size), cache.shape), y, position) },
  gpu: [{ from: ["plain/indexing.wgsl"] }],
  rows: ({ B, G }) => B * G,
  cost: ({ B, G, T, E }) => ({ bytes: 8 * B * G * T * E, flops: 0 }),
  cases: [
    { B: 2, G: 3, S: 9, E: 8, T: 2 },
    { B: 1, G: 1, S: 33, E: 31, T: 1 },
  ],
  sample: (name, { S, T }) => (name === "position" ? (i) => Math.min(3 + i, S - T) : undefined),
})

const castOp: Op = plain({
  name: "cast",
  anyDType: true,
  text: "x:any(...) -> y:dtype(...), rounded to nearest even; to i32 the fraction is dropped",
  inputs: ["x"],
  params: "N xType yType",
  infer: ([x], { dtype }) => ({
    shape: (x as Tensor).shape,
    dtype: dtype as DType,
    params: { N: (x as Tensor).size },
  }),
  compute({ x, y }, { N, yType }) {
    const dtype = (["f32", "f16", "bf16", "i32"] as const)[yType as number] as DType
    const values = (x as Float64Array).subarray(0, N)
    const rounds = dtype === "f16" || dtype === "bf16"
    const out =
      dtype === "i32"
        ? values.map(Math.trunc)
        : rounds
          ? decode(dtype, encode(dtype, values))
          : values
    ;(y as Float64Array).set(out)
  },
  vjp: (d, [x], y) => [x?.dtype === "i32" || y.dtype === "i32" ? undefined : d],
  cases: [
    { x: [3, 31], dtype: "bf16" },
    { x: [3, 31], dtype: "f16" },
    { x: [33], dtype: "f32", xType: "bf16" },
    { x: [33], dtype: "f32", xType: "f16" },
    { x: [33], dtype: "f32", xType: "i32" },
    { x: [33], dtype: "i32" },
  ],
  // WGSL reserves the word "cast".
  gpu: [{ entry: "castKernel", from: ["plain/indexing.wgsl"] }],
})

/** x in another dtype; x itself if it has that dtype already. */
export const cast = (x: Tensor, dtype: DType): Tensor =>
  x.dtype === dtype ? x : (castOp.record([x], { dtype }).outputs[0] as Tensor)

/** x in another dtype; for f16, what is beyond its range becomes its largest number. */
export function castFinite(x: Tensor, dtype: DType): Tensor {
  if (dtype !== "f16") return cast(x, dtype)
  const low = constant([-largestF16], [1])
  const high = constant([largestF16], [1])
  return cast(select(less(x, low), -largestF16, select(less(high, x), largestF16, x)), dtype)
}

export const indexingOps = [take.op, takeBytes.op, scatterAdd.op, writeRows.op, readRows.op, castOp]
