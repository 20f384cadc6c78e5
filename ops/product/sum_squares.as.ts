// y = Σ (w + b·a)² of each row of a matrix in panels, on the tiles of the product (matmul_tile.as.ts): rows of
// a lie in scratch as tiles, and sums begin as the weights. Parallel over panels. Bytes: the weights once.
import { itemBytes, loadFour } from "../shared/half.as"
import { blockProduct, blockRows, keep } from "./matmul.as"
import { sums } from "./sums.as"
import { expandBlock } from "./quantized_block.as"

/** Rows at a time: nine blocks of quantized weights. */
const rowsAtATime: u32 = 288

/** y (16) += squares of the sums of `rows` rows, or ← where `first`. */
function addSquares(y: usize, rows: u32, first: bool): void {
  let a = first ? f32x4.splat(0) : v128.load(y), b = first ? a : v128.load(y, 16)
  let c = first ? a : v128.load(y, 32), d = first ? a : v128.load(y, 48)
  let at = sums()
  for (const end = at + <usize>rows * 64; at < end; at += 64) {
    const s = v128.load(at), t = v128.load(at, 16), u = v128.load(at, 32), v = v128.load(at, 48)
    a = f32x4.add(a, f32x4.mul(s, s)); b = f32x4.add(b, f32x4.mul(t, t))
    c = f32x4.add(c, f32x4.mul(u, u)); d = f32x4.add(d, f32x4.mul(v, v))
  }
  v128.store(y, a); v128.store(y, b, 16); v128.store(y, c, 32); v128.store(y, d, 48)
}

/** Rows that are worked on at a time. */
function rowsFor(K: u32, R: u32): u32 {
  const rows = min(rowsAtATime, blockRows(K, R))
  return rows < 32 ? rows : rows / 32 * 32
}

/** a (K, R), b (P, R, 16), w (P, K, 16) → y (P, 16) */
export function sumSquares(
  a: usize, b: usize, w: usize, y: usize,
  K: u32, R: u32, P: u32, wType: u32, begin: u32, end: u32,
): void {
  const block = rowsFor(K, R)
  for (let k: u32 = 0; k < K; k += block) {
    const rows = min(block, K - k)
    keep(a + <usize>k * R * 4, 0, R, 0, rows, R, 0, 0)
    for (let p = begin; p < end; p++) {
      let from = w + (<usize>p * K + k) * 16 * itemBytes(wType)
      for (let to = sums(), last = to + <usize>rows * 64; to < last; to += 16) {
        v128.store(to, loadFour(from, wType))
        from += 4 * itemBytes(wType)
      }
      blockProduct(b + <usize>p * R * 64, sums(), 64, rows, R, 0, R, 0)
      addSquares(y + <usize>p * 64, rows, k === 0)
    }
  }
}

/** a (K, R), b (P, R, 16), w (P, C, Z) → y (P, 16) */
export function sumSquaresOfBlocks(
  a: usize, b: usize, w: usize, y: usize,
  K: u32, R: u32, P: u32, C: u32, Z: u32, begin: u32, end: u32,
): void {
  for (let k: u32 = 0; k < K; k += 32) {
    const rows = min<u32>(32, K - k)
    keep(a + <usize>k * R * 4, 0, R, 0, rows, R, 0, 0)
    for (let p = begin; p < end; p++) {
      expandBlock(w + (<usize>p * C + (k >> 5)) * Z, Z, sums())
      blockProduct(b + <usize>p * R * 64, sums(), 64, rows, R, 0, R, 0)
      addSquares(y + <usize>p * 64, rows, k === 0)
    }
  }
}
