// Numbers into the blocks of GGUF, byte for byte as ggml makes them: each operation in f32.
import { encode } from "../../../engine/index.ts"

const round = Math.fround
const blockValues = 32

/** Halves of scales into the first two bytes of each block. */
function putScales(bytes: Uint8Array, blockBytes: number, scales: Float32Array): void {
  const halves = encode("f16", scales)
  for (let block = 0; block < halves.length; block++) {
    const bits = halves[block] as number
    if ((bits & 0x7c00) === 0x7c00) {
      throw new RangeError("it has numbers that are too large for the scale of a block")
    }
    bytes[block * blockBytes] = bits & 255
    bytes[block * blockBytes + 1] = bits >> 8
  }
}

/** Writes the numbers of a block that begin at `from` of x to `at` of `bytes`; returns their scale. */
type FillBlock = (x: Float32Array, from: number, bytes: Uint8Array, at: number) => number

/** All blocks of x, each its scale and what `fill` writes behind it. */
const quantizer =
  (blockBytes: number, fill: FillBlock) =>
  (x: Float32Array): Uint8Array => {
    const scales = new Float32Array(x.length / blockValues)
    const bytes = new Uint8Array(scales.length * blockBytes)
    for (let block = 0; block < scales.length; block++) {
      scales[block] = fill(x, block * blockValues, bytes, block * blockBytes + 2)
    }
    putScales(bytes, blockBytes, scales)
    return bytes
  }

/** The first of a block's numbers that is farthest from 0. */
function farthestOf(x: Float32Array, from: number): number {
  let [most, farthest] = [0, 0]
  for (let i = from; i < from + blockValues; i++) {
    const size = Math.abs(x[i] as number)
    if (size <= most) continue
    most = size
    farthest = x[i] as number
  }
  return farthest
}

const inverseOf = (d: number): number => (d === 0 ? 0 : round(1 / d))

/** d = max |x| / 127, numbers rounded half away from 0. */
function fillQ8_0(x: Float32Array, from: number, bytes: Uint8Array, at: number): number {
  const d = round(Math.abs(farthestOf(x, from)) / 127)
  const inverse = inverseOf(d)
  for (let i = 0; i < blockValues; i++) {
    const q = round((x[from + i] as number) * inverse)
    bytes[at + i] = q < 0 ? -Math.floor(0.5 - q) : Math.floor(q + 0.5)
  }
  return d
}

/** d = x / −8 of the number farthest from 0, numbers cut off after 8.5 is added. */
function fillQ4_0(x: Float32Array, from: number, bytes: Uint8Array, at: number): number {
  const d = round(farthestOf(x, from) / -8)
  const inverse = inverseOf(d)
  const number = (i: number): number =>
    Math.min(15, Math.trunc(round(round((x[from + i] as number) * inverse) + 8.5)))
  for (let i = 0; i < 16; i++) bytes[at + i] = number(i) | (number(i + 16) << 4)
  return d
}

/** How numbers become blocks, by the names of the types. */
export const quantizers = { Q8_0: quantizer(34, fillQ8_0), Q4_0: quantizer(18, fillQ4_0) } as const
