// The types of GGUF's tensors: how many numbers a block has, its bytes, and its numbers in f32, each
// operation rounded as ggml does.
import type { FileBlocks } from "../../weights/layout.ts"
import type { PlainDType } from "../header.ts"
import { numbersOfHalves } from "../numbers.ts"

export interface BlockType {
  readonly id: number
  readonly name: string
  /** Numbers in a block, and its bytes. */
  readonly values: number
  readonly bytes: number
  /** How a kernel takes them as they are. */
  readonly form?: PlainDType
  /** The name by which a kernel takes blocks as they are. */
  readonly blocks?: FileBlocks
  /** Writes the numbers of the block at `at` into `out` from `to` on. */
  readonly expand?: Expand
}

type Expand = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void

const round = Math.fround

/** The half at a place. */
function half(bytes: Uint8Array, at: number): number {
  return numbersOfHalves()[(bytes[at] as number) | ((bytes[at + 1] as number) << 8)] as number
}

const byteAt = (bytes: Uint8Array, at: number): number => bytes[at] as number
const signedAt = (bytes: Uint8Array, at: number): number => ((bytes[at] as number) << 24) >> 24

/** d·q */
const q8_0: Expand = (bytes, at, out, to) => {
  const d = half(bytes, at)
  for (let j = 0; j < 32; j++) out[to + j] = d * signedAt(bytes, at + 2 + j)
}

/** d·(q − 8): low half bytes first, high ones after them */
const q4_0: Expand = (bytes, at, out, to) => {
  const d = half(bytes, at)
  for (let j = 0; j < 16; j++) {
    const q = byteAt(bytes, at + 2 + j)
    out[to + j] = d * ((q & 15) - 8)
    out[to + 16 + j] = d * ((q >> 4) - 8)
  }
}

/** d·q + m */
const q4_1: Expand = (bytes, at, out, to) => {
  const [d, m] = [half(bytes, at), half(bytes, at + 2)]
  for (let j = 0; j < 16; j++) {
    const q = byteAt(bytes, at + 4 + j)
    out[to + j] = round(d * (q & 15)) + m
    out[to + 16 + j] = round(d * (q >> 4)) + m
  }
}

/** The fifth bits of a block: bit j is that of number j. */
const fifths = (bytes: Uint8Array, at: number): number =>
  byteAt(bytes, at) |
  (byteAt(bytes, at + 1) << 8) |
  (byteAt(bytes, at + 2) << 16) |
  (byteAt(bytes, at + 3) << 24)

/** d·(q − 16) */
const q5_0: Expand = (bytes, at, out, to) => {
  const [d, high] = [half(bytes, at), fifths(bytes, at + 2)]
  for (let j = 0; j < 16; j++) {
    const q = byteAt(bytes, at + 6 + j)
    out[to + j] = d * (((q & 15) | (((high >>> j) & 1) << 4)) - 16)
    out[to + 16 + j] = d * (((q >> 4) | (((high >>> (16 + j)) & 1) << 4)) - 16)
  }
}

/** d·q + m */
const q5_1: Expand = (bytes, at, out, to) => {
  const [d, m, high] = [half(bytes, at), half(bytes, at + 2), fifths(bytes, at + 4)]
  for (let j = 0; j < 16; j++) {
    const q = byteAt(bytes, at + 8 + j)
    out[to + j] = round(d * ((q & 15) | (((high >>> j) & 1) << 4))) + m
    out[to + 16 + j] = round(d * ((q >> 4) | (((high >>> (16 + j)) & 1) << 4))) + m
  }
}

// Blocks of 256. Two bits of a byte belong to numbers that are 32 apart: byte 32·(i >> 7) + i mod 32 has
// those of number i, from bit 2·(i >> 5 & 3) on.
const pairAt = (bytes: Uint8Array, at: number, i: number): number =>
  (byteAt(bytes, at + 32 * (i >> 7) + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3

/** (d·(s & 15))·q − dmin·(s >> 4), a scale s for 16 numbers */
const q2_k: Expand = (bytes, at, out, to) => {
  const [d, least] = [half(bytes, at + 80), half(bytes, at + 82)]
  for (let i = 0; i < 256; i++) {
    const s = byteAt(bytes, at + (i >> 4))
    const q = pairAt(bytes, at + 16, i)
    out[to + i] = round(round(d * (s & 15)) * q) - round(least * (s >> 4))
  }
}

/** The six bits of scale i of 16: four in the first eight bytes, two in the last four. */
function scale3(bytes: Uint8Array, at: number, i: number): number {
  const low = byteAt(bytes, at + (i & 7))
  const high = byteAt(bytes, at + 8 + (i & 3))
  return (i < 8 ? low & 15 : low >> 4) | (((high >> (2 * (i >> 2))) & 3) << 4)
}

/** (d·(s − 32))·(q − 4), less 4 only where the mask has no bit */
const q3_k: Expand = (bytes, at, out, to) => {
  const d = half(bytes, at + 108)
  for (let i = 0; i < 256; i++) {
    const scale = round(d * (scale3(bytes, at + 96, i >> 4) - 32))
    const isHigh = (byteAt(bytes, at + (i & 31)) >> (i >> 5)) & 1
    out[to + i] = scale * (pairAt(bytes, at + 32, i) - (isHigh ? 0 : 4))
  }
}

/** Scale and minimum of group j of 8, six bits each in twelve bytes. */
function scaleAndLeast(bytes: Uint8Array, at: number, j: number): [number, number] {
  if (j < 4) return [byteAt(bytes, at + j) & 63, byteAt(bytes, at + j + 4) & 63]
  const both = byteAt(bytes, at + j + 4)
  return [
    (both & 15) | ((byteAt(bytes, at + j - 4) >> 6) << 4),
    (both >> 4) | ((byteAt(bytes, at + j) >> 6) << 4),
  ]
}

/** (d·s)·q − dmin·m in groups of 32; of 5 bits, the fifth of number l in group j is bit j of byte l. */
function grouped(hasFifths: boolean): Expand {
  const low = hasFifths ? 48 : 16
  return (bytes, at, out, to) => {
    const [d, least] = [half(bytes, at), half(bytes, at + 2)]
    for (let j = 0; j < 8; j++) {
      const [s, m] = scaleAndLeast(bytes, at + 4, j)
      const [scale, minimum] = [round(d * s), round(least * m)]
      const shift = j & 1 ? 4 : 0
      for (let l = 0; l < 32; l++) {
        const four = (byteAt(bytes, at + low + 32 * (j >> 1) + l) >> shift) & 15
        const fifth = hasFifths ? ((byteAt(bytes, at + 16 + l) >> j) & 1) << 4 : 0
        out[to + 32 * j + l] = round(scale * (four | fifth)) - minimum
      }
    }
  }
}

/** (d·s)·(q − 32), a signed scale for 16 numbers */
const q6_k: Expand = (bytes, at, out, to) => {
  const d = half(bytes, at + 208)
  for (let i = 0; i < 256; i++) {
    const scale = round(d * signedAt(bytes, at + 192 + (i >> 4)))
    const four = byteAt(bytes, at + 64 * (i >> 7) + (i & 63)) >> (i & 64 ? 4 : 0)
    out[to + i] = scale * (((four & 15) | (pairAt(bytes, at + 128, i) << 4)) - 32)
  }
}

const list: readonly BlockType[] = [
  { id: 0, name: "F32", values: 1, bytes: 4, form: "f32" },
  { id: 1, name: "F16", values: 1, bytes: 2, form: "f16" },
  { id: 2, name: "Q4_0", values: 32, bytes: 18, expand: q4_0, blocks: "q4_0" },
  { id: 3, name: "Q4_1", values: 32, bytes: 20, expand: q4_1 },
  { id: 6, name: "Q5_0", values: 32, bytes: 22, expand: q5_0 },
  { id: 7, name: "Q5_1", values: 32, bytes: 24, expand: q5_1 },
  { id: 8, name: "Q8_0", values: 32, bytes: 34, expand: q8_0, blocks: "q8_0" },
  { id: 10, name: "Q2_K", values: 256, bytes: 84, expand: q2_k },
  { id: 11, name: "Q3_K", values: 256, bytes: 110, expand: q3_k },
  { id: 12, name: "Q4_K", values: 256, bytes: 144, expand: grouped(false) },
  { id: 13, name: "Q5_K", values: 256, bytes: 176, expand: grouped(true) },
  { id: 14, name: "Q6_K", values: 256, bytes: 210, expand: q6_k },
  { id: 24, name: "I8", values: 1, bytes: 1 },
  { id: 25, name: "I16", values: 1, bytes: 2 },
  { id: 26, name: "I32", values: 1, bytes: 4 },
  { id: 27, name: "I64", values: 1, bytes: 8 },
  { id: 28, name: "F64", values: 1, bytes: 8 },
  { id: 30, name: "BF16", values: 1, bytes: 2, form: "bf16" },
]

/** Types by their number in files. */
export const blockTypes: ReadonlyMap<number, BlockType> = new Map(
  list.map((type) => [type.id, type]),
)
