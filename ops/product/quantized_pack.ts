// Quantized weights: what a block holds, and the ways there and back. A matrix (N, K) is kept in
// panels of 16 outputs as ever, each a row of C = ⌈K/32⌉ blocks of 32 numbers by 16 outputs: Z
// bytes a block, its 512 whole numbers, then 16 scales in bf16, one an output; weight = number · scale.
//   q8, Z = 544: number (k, n) is the signed byte 32·⌊k/2⌋ + 2n + k mod 2
//   q4, Z = 288: numbers −8 … 7 are stored as 0 … 15 in the halves of byte 64·⌊k/8⌋ + 4n + k mod 4,
//                the lower half where k mod 8 < 4
// so that a thread reads one sequential stream, and integer dot products find their outputs in the
// lanes. Scales are bf16, not f16: widening them is a shift, whatever their size. Blocks that a file has
// (file_blocks.ts) keep their scales as they are, in f32: Z = 576 and 320.
// Kernels: quantized_pack.as.ts.
import { fromBf16, op, toBf16 } from "../../engine/index.ts"
import { panelsOf, panelWidth } from "./panels.ts"

/** Numbers of an output that share a scale. */
export const blockDepth = 32

/** Bytes of a block, Z, by the name of the format. */
export const blockBytes = { q8: 544, q4: 288 } as const
/** The same of blocks that are as GGUF's Q8_0 and Q4_0 have them: their scales, there f16, in f32. */
export const fileBlockBytes = { q8_0: 576, q4_0: 320 } as const
const blockSizes: readonly number[] = [
  ...Object.values(blockBytes),
  ...Object.values(fileBlockBytes),
]

/** Whether numbers are bytes, not halves of them. */
export const isBytes = (Z: number): boolean => Z === blockBytes.q8 || Z === fileBlockBytes.q8_0

/** Where the scales of a block begin: after its numbers. */
export const scalesAt = (Z: number): number => (isBytes(Z) ? 512 : 256)

/** Bytes of a scale. */
const scaleBytes = (Z: number): number => (Z - scalesAt(Z)) / panelWidth

/** Vectors of 16 bytes that a block has, and of them its numbers; whether these are bytes, and scales
 *  f32: what a GPU's kernels are told. */
export const blockVectors = ({ Z }: { readonly Z: number }) => ({
  vectors: Z / 16,
  scalesAt: scalesAt(Z) / 16,
  isBytes: Number(isBytes(Z)),
  isWide: Number(scaleBytes(Z) === 4),
})

/** Blocks of a panel, C, for a matrix with rows of K numbers. */
export const blocksOf = (K: number): number => Math.ceil(K / blockDepth)

interface Matrix {
  readonly N: number
  readonly K: number
  readonly P: number
  readonly C: number
  readonly Z: number
  readonly Halves: number
}

/** What is wrong with the sizes of a quantized matrix, if anything. */
export function misfit({ N, K, P, C, Z, Halves }: Matrix): string | undefined {
  if (!blockSizes.includes(Z)) return `blocks have ${blockSizes.join(" or ")} bytes, not ${Z}`
  if (blocksOf(K) !== C) return `K ${K} takes ${blocksOf(K)} blocks, C is ${C}`
  if (N % Halves === 0 && panelsOf(N, Halves) === P) return undefined
  return `N ${N} in ${Halves} parts takes ${panelsOf(N, Halves)} panels, P is ${P}`
}

/** Of a product of M rows with a quantized matrix. */
export interface ProductSizes {
  readonly M: number
  readonly K: number
  readonly P: number
  readonly C: number
  readonly Z: number
}

/** What such a product reads, writes and computes: weights once, rows and results in f32. */
export const productCost = ({ M, K, P, C, Z }: ProductSizes) => ({
  bytes: P * C * Z + 4 * M * (K + P * panelWidth),
  flops: 2 * M * K * P * panelWidth,
})

/** Its sizes, for cases of tests. */
export const productCases = (
  Z: number,
  shapes: readonly { readonly M: number; readonly K: number; readonly N: number }[],
) => shapes.map(({ M, K, N }) => ({ M, K, P: panelsOf(N), C: blocksOf(K), Z, N }))

/** Where number k of output n lies in a block; `high`: in the upper half of that byte. */
export const placeOf = (k: number, n: number, Z: number): { at: number; high: boolean } =>
  isBytes(Z)
    ? { at: 32 * (k >> 1) + 2 * n + (k & 1), high: false }
    : { at: 64 * (k >> 3) + 4 * n + (k & 3), high: (k & 4) !== 0 }

/** Calls with the place in the matrix and in its block of every number of the panels. */
export function eachNumber(
  { N, K, P, C, Z, Halves }: Matrix,
  visit: (row: number, k: number, block: number, n: number) => void,
): void {
  const rows = N / Halves
  for (let i = 0; i < P * C * panelWidth; i++) {
    const n = i % panelWidth
    const block = Math.floor(i / panelWidth)
    const [p, c] = [Math.floor(block / C), block % C]
    const row = Math.floor(p / Halves) * panelWidth + n
    if (row >= rows) continue
    for (let k = c * blockDepth; k < Math.min(K, (c + 1) * blockDepth); k++) {
      visit((p % Halves) * rows + row, k, block * Z, n)
    }
  }
}

/** Whole number nearest to x, the even one of two. */
function nearest(x: number): number {
  const up = Math.round(x)
  return up - x === 0.5 && up % 2 !== 0 ? up - 1 : up
}

/** Bits of the scale for q8: max |w| / 127, rounded up so that nothing is cut off. */
function scale8(values: readonly number[]): number {
  const scale = Math.fround(Math.max(...values.map(Math.abs)) / 127)
  const bits = toBf16(scale)
  return fromBf16(bits) < scale ? bits + 1 : bits
}

/** The first of the numbers farthest from 0. */
const farthest = (values: readonly number[]): number =>
  values.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0)

/** Bits of the scale for q4: the number farthest from 0 becomes −8. */
const scale4 = (values: readonly number[]): number => toBf16(farthest(values) / -8 + 0)

/** q4 numbers for a factor. */
const numbers4 = (values: readonly number[], factor: number): number[] =>
  values.map((w) => Math.min(Math.max(nearest(Math.fround(w * factor)), -8), 7))

/** Factors tried: those that make the number farthest from 0 a value between −8.9 and −7.1. */
const candidates = Array.from({ length: 19 }, (_, i) => -8 + (i - 9) / 10)

/** Bits of the scale of least Σ w²·(w − scale·number)²: for each candidate's numbers the best
 *  scale is Σ w²·w·number / Σ w²·number², and takes off the more the larger Σ²/Σ is. */
function searchedScale4(values: readonly number[]): number {
  const most = farthest(values)
  if (most === 0) return 0
  let [best, scale] = [0, most / -8]
  for (const candidate of candidates) {
    const numbers = numbers4(values, Math.fround(candidate / most))
    const sum = (of: (w: number, q: number) => number): number =>
      values.reduce((s, w, i) => s + w * w * of(w, numbers[i] as number), 0)
    const [along, square] = [sum((w, q) => w * q), sum((_, q) => q * q)]
    if (square > 0 && along * along > best * square) {
      best = (along * along) / square
      scale = along / square
    }
  }
  return toBf16(scale)
}

/** Rows into quantized panels. Search 1 looks for q4's best scales; q8 has no use for it.
 *  bad[p] = numbers of panel p that are not finite.  x (N, K) → w (P, C, Z), bad (P) */
export const quantize = op({
  name: "quantize",
  sig: "x:f32|f16|bf16(N,K) -> w:u8(P,C,Z) bad:(P)",
  params: "N K P C Z Halves Search xType",
  check: (sizes) =>
    scaleBytes(sizes.Z) === 2
      ? misfit(sizes)
      : `blocks have ${Object.values(blockBytes).join(" or ")} bytes, not ${sizes.Z}`,
  compute({ x, w, bad }, sizes) {
    const { K, C, Z, Search } = sizes
    const blocks = new Map<number, { values: number[]; n: number }>()
    bad.fill(0)
    eachNumber(sizes, (row, k, block, n) => {
      const value = x[row * K + k] as number
      const key = block * panelWidth + n
      const known = blocks.get(key) ?? { values: new Array<number>(blockDepth).fill(0), n }
      blocks.set(key, known)
      known.values[k % blockDepth] = value
      const p = block / Z / C
      if (!Number.isFinite(value)) bad[Math.floor(p)] = (bad[Math.floor(p)] as number) + 1
    })
    // A number 0 of q4 is the half byte 8.
    w.forEach((_, i) => {
      w[i] = Z === blockBytes.q4 && i % Z < Z - 32 ? 0x88 : 0
    })
    const scaleOf = Z === blockBytes.q8 ? scale8 : Search ? searchedScale4 : scale4
    for (const [key, { values, n }] of blocks) {
      writeOutput(w, (key - n) / panelWidth, n, values, scaleOf(values), Z)
    }
  },
  vjp: () => ({}),
  gpu: [{ from: ["product/quantized_pack.wgsl"], constants: blockVectors }],
  rows: ({ P }) => P,
  cost: ({ N, K, P, C, Z, xType }) => ({
    bytes: N * K * (xType === 0 ? 4 : 2) + P * C * Z,
    flops: 0,
  }),
  cases: Object.values(blockBytes).flatMap((Z) =>
    (["f32", "f16", "bf16"] as const).flatMap((xType) => [
      { N: 33, K: 31, P: 3, C: 1, Z, Halves: 1, Search: 0, xType },
      { N: 48, K: 64, P: 4, C: 2, Z, Halves: 2, Search: 0, xType },
      { N: 3, K: 257, P: 1, C: 9, Z, Halves: 1, Search: 0, xType },
    ]),
  ),
})

/** Writes the 32 numbers and the scale of one output of a block. */
function writeOutput(
  w: Float64Array,
  block: number,
  n: number,
  values: readonly number[],
  bits: number,
  Z: number,
): void {
  const scale = fromBf16(bits)
  values.forEach((value, k) => {
    const { at, high } = placeOf(k, n, Z)
    const number = scale === 0 ? 0 : nearest(Math.fround(value / scale))
    const i = block + at
    if (Z === blockBytes.q8) w[i] = number & 255
    else {
      const half = Math.min(Math.max(number, -8), 7) + 8
      const old = w[i] as number
      w[i] = high ? (old & 15) | (half << 4) : (old & 240) | half
    }
  })
  w[block + Z - 32 + 2 * n] = bits & 255
  w[block + Z - 32 + 2 * n + 1] = bits >> 8
}

/** The scale of output n of the block. */
function scaleOf(w: Float64Array, block: number, n: number, Z: number): number {
  const bytes = scaleBytes(Z)
  const first = block + scalesAt(Z) + bytes * n
  const scale = Uint8Array.from(w.subarray(first, first + bytes))
  if (bytes === 4) return new Float32Array(scale.buffer)[0] as number
  return fromBf16(new Uint16Array(scale.buffer)[0] as number)
}

/** The matrix that quantized panels stand for, in f32.  w (P, C, Z) → x (N, K) */
export const dequantize = op({
  name: "dequantize",
  sig: "w:u8(P,C,Z) -> x:(N,K)",
  params: "P C Z N K Halves",
  check: misfit,
  compute({ w, x }, sizes) {
    const { K, Z } = sizes
    eachNumber(sizes, (row, k, block, n) => {
      const { at, high } = placeOf(k % blockDepth, n, Z)
      const byte = w[block + at] as number
      const number = isBytes(Z) ? (byte << 24) >> 24 : (high ? byte >> 4 : byte & 15) - 8
      x[row * K + k] = number * scaleOf(w, block, n, Z)
    })
  },
  vjp: () => ({}),
  gpu: [{ from: ["product/quantized_pack.wgsl"], constants: blockVectors }],
  rows: ({ P }) => P,
  cost: ({ N, K, P, C, Z }) => ({ bytes: N * K * 4 + P * C * Z, flops: N * K }),
  cases: blockSizes.flatMap((Z) => [
    { N: 33, K: 31, P: 3, C: 1, Z, Halves: 1 },
    { N: 48, K: 64, P: 4, C: 2, Z, Halves: 2 },
    { N: 3, K: 257, P: 1, C: 9, Z, Halves: 1 },
  ]),
  sample: (_name, { Z }) => quantizedSample(Z),
})

/** Bytes of blocks with scales of a few hundredths, for cases. */
export const quantizedSample =
  (Z: number) =>
  (i: number): number => {
    const mixed = Math.imul(i + 1, 0x9e3779b1) >>> 24
    const bytes = scaleBytes(Z)
    if (i % Z < scalesAt(Z) || i % bytes !== bytes - 1) return mixed
    return mixed & 1 ? 0x3c : 0xbc
  }

export const quantizedPackOps = [quantize.op, dequantize.op]
