// Rows of numbers as blocks of onnxruntime's MatMulNBits: 32 of them share a scale, and are whole numbers
// around a middle that nothing says: 128 of 8 bits, 8 of 4, the first of two in the lower half of a byte.
import { blockSize } from "./openelm.ts"

interface Blocks {
  readonly numbers: Uint8Array
  readonly scales: Float32Array
}

/** Rows of K numbers; the last block of a row is filled up with zeros. */
export function blocksFrom(values: Float32Array, K: number, bits: 4 | 8): Blocks {
  const inRow = Math.ceil(K / blockSize)
  const rows = values.length / K
  const numbers = new Uint8Array((rows * inRow * blockSize * bits) / 8)
  const scales = new Float32Array(rows * inRow)
  const encode = bits === 8 ? bytes : halves
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < inRow; c++) {
      const from = r * K + c * blockSize
      const block = values.subarray(from, Math.min(from + blockSize, (r + 1) * K))
      const at = r * inRow + c
      scales[at] = encode(block, numbers.subarray((at * blockSize * bits) / 8))
    }
  }
  return { numbers, scales }
}

/** −127 … 127 for the largest. */
function bytes(block: Float32Array, to: Uint8Array): number {
  let most = 0
  for (const x of block) most = Math.max(most, Math.abs(x))
  const scale = most / 127
  for (let i = 0; i < blockSize; i++) to[i] = 128 + rounded(block[i], scale)
  return scale
}

/** −8 … 7, of which −8 is the number that is farthest from zero. */
function halves(block: Float32Array, to: Uint8Array): number {
  let farthest = 0
  for (const x of block) if (Math.abs(x) > Math.abs(farthest)) farthest = x
  const scale = farthest / -8
  for (let i = 0; i < blockSize; i += 2) {
    const [low, high] = [rounded(block[i], scale), rounded(block[i + 1], scale)]
    to[i / 2] = (8 + Math.min(7, low)) | ((8 + Math.min(7, high)) << 4)
  }
  return scale
}

const rounded = (x = 0, scale: number): number => (scale === 0 ? 0 : Math.round(x / scale))
