// dx = dy·W and dw = dyᵀ·x for weights in panels (P, K, 16), on the tiles of the forward product
// (matmul_tile.as.ts). dx: parallel over sixteen columns of K; the weights of those columns are
// transposed into scratch, 512 outputs at a time, for 320 rows of dy that lie in scratch as tiles.
// dw: parallel over panels; strips of x (512 rows by 320 columns) lie in scratch as tiles, which
// takes no transposition, and the sums grow where the gradient lies. Bytes: the weights, dy and dx
// (dw: dy, x, and dw once per 512 rows); every thread reads dy (dw: x) for itself.
import { itemBytes, loadFour, loadOne } from "../shared/half.as"
import { blockProduct, blockRows, keep, kept } from "./matmul.as"
import { clear, deliver, sums } from "./sums.as"

/** Depth of a sum that is worked on at a time. */
export const depthAtATime: u32 = 512

/** Scratch after what matmul.as.ts keeps: one panel of 512 rows, 32 KiB. */
// @ts-ignore: decorator
@inline
export function panel(): usize { return sums() + 786432 }

/** Four numbers of each of four rows, `row` bytes apart, become rows 64 bytes apart. */
// @ts-ignore: decorator
@inline
function transpose4(from: usize, row: usize, to: usize, wType: u32): void {
  const a = loadFour(from, wType), b = loadFour(from + row, wType)
  const c = loadFour(from + 2 * row, wType), d = loadFour(from + 3 * row, wType)
  const ab0 = v128.shuffle<i32>(a, b, 0, 4, 1, 5), ab1 = v128.shuffle<i32>(a, b, 2, 6, 3, 7)
  const cd0 = v128.shuffle<i32>(c, d, 0, 4, 1, 5), cd1 = v128.shuffle<i32>(c, d, 2, 6, 3, 7)
  v128.store(to, v128.shuffle<i64>(ab0, cd0, 0, 2))
  v128.store(to, v128.shuffle<i64>(ab0, cd0, 1, 3), 64)
  v128.store(to, v128.shuffle<i64>(ab1, cd1, 0, 2), 128)
  v128.store(to, v128.shuffle<i64>(ab1, cd1, 1, 3), 192)
}

/** Sixteen columns by sixteen outputs, transposed. */
// @ts-ignore: decorator
@inline
export function transposeSquare(from: usize, to: usize, wType: u32): void {
  const bytes = itemBytes(wType)
  for (let i: usize = 0; i < 4; i++) {
    for (let j: usize = 0; j < 4; j++) {
      transpose4(from + (i * 64 + j * 4) * bytes, 16 * bytes, to + j * 256 + i * 16, wType)
    }
  }
}

// The dtype is a constant inside each of these.
function square(from: usize, to: usize, wType: u32): void {
  if (wType === 0) transposeSquare(from, to, 0)
  else if (wType === 1) transposeSquare(from, to, 1)
  else transposeSquare(from, to, 2)
}

/** panel() (16·blocks, 16) ← the weights of columns k … k + columns of `blocks` panels from w on. */
function transpose(w: usize, K: u32, k: u32, columns: u32, blocks: u32, wType: u32): void {
  let to = panel()
  const bytes = itemBytes(wType)
  for (let p: u32 = 0; p < blocks; p++, to += 1024) {
    const from = w + (<usize>p * K + k) * 16 * bytes
    if (columns === 16) {
      square(from, to, wType)
      continue
    }
    for (let c: u32 = 0; c < 16; c++) {
      for (let n: u32 = 0; n < 16; n++) {
        const x: f32 = c < columns ? loadOne(from + <usize>(c * 16 + n) * bytes, wType) : 0
        store<f32>(to + <usize>(n * 16 + c) * 4, x)
      }
    }
  }
}

/** dy (M, N), w (P, K, 16) → dx (M, K) */
export function matmulGradX(
  dy: usize, w: usize, dx: usize,
  M: u32, K: u32, P: u32, N: u32, wType: u32, begin: u32, end: u32,
): void {
  const block = blockRows(M, depthAtATime)
  const stride = <usize>K * 4
  for (let m: u32 = 0; m < M; m += block) {
    const rows = min(block, M - m)
    for (let n: u32 = 0; n < N; n += depthAtATime) {
      const depth = min(depthAtATime, N - n)
      keep(dy + <usize>m * N * 4, 0, N, n, rows, depth, 0, 0)
      const from = w + <usize>n * K * itemBytes(wType)
      for (let i = begin; i < end; i++) {
        const columns = min<u32>(16, K - i * 16)
        transpose(from, K, i * 16, columns, (depth + 15) / 16, wType)
        clear(sums(), <usize>rows * 64)
        blockProduct(panel(), sums(), 64, rows, depth, 0, depth, 0)
        deliver(dx + (<usize>m * K + i * 16) * 4, stride, rows, columns, 1, n > 0)
      }
    }
  }
}

/** Copies `rows` rows of x (…, K), columns k … k + columns, into tiles of columns, row by row. */
function keepColumns(x: usize, K: u32, k: u32, rows: u32, columns: u32): void {
  const most: u32 = ASC_FEATURE_RELAXED_SIMD ? 6 : 5
  const tiles = (columns + most - 1) / most
  let to = kept()
  let from = x + <usize>k * 4
  for (let i: u32 = 0; i < tiles; i++) {
    const width = columns / tiles + (i < columns % tiles ? 1 : 0)
    let row = from
    for (let r: u32 = 0; r < rows; r++) {
      for (let c: u32 = 0; c < width; c++, to += 4) store<f32>(to, load<f32>(row + <usize>c * 4))
      row += <usize>K * 4
    }
    from += <usize>width * 4
  }
}

/** panel() (rows, 16) ← columns n … n + columns of dy (rows, N), zeros beside them. */
function keepPanel(dy: usize, N: u32, n: u32, rows: u32, columns: u32): void {
  let to = panel()
  let from = dy + <usize>n * 4
  if (columns < 16) clear(to, <usize>rows * 64)
  for (let r: u32 = 0; r < rows; r++, to += 64, from += <usize>N * 4) {
    if (columns === 16) {
      v128.store(to, v128.load(from)); v128.store(to, v128.load(from, 16), 16)
      v128.store(to, v128.load(from, 32), 32); v128.store(to, v128.load(from, 48), 48)
    } else {
      for (let c: usize = 0; c < columns; c++) store<f32>(to + c * 4, load<f32>(from + c * 4))
    }
  }
}

/** dw (panels begin … end, K, 16) += dyᵀ·x */
function accumulate(
  dy: usize, x: usize, dw: usize, M: u32, N: u32, K: u32, begin: u32, end: u32,
): void {
  const block = blockRows(K, depthAtATime)
  for (let m: u32 = 0; m < M; m += depthAtATime) {
    const rows = min(depthAtATime, M - m)
    const dyRows = dy + <usize>m * N * 4
    for (let k: u32 = 0; k < K; k += block) {
      const columns = min(block, K - k)
      keepColumns(x + <usize>m * K * 4, K, k, rows, columns)
      for (let p = begin; p < end; p++) {
        keepPanel(dyRows, N, p * 16, rows, min<u32>(16, N - p * 16))
        const to = dw + (<usize>p * K + k) * 64
        blockProduct(panel(), to, 64, columns, rows, 0, rows, 0)
      }
    }
  }
}

/** dy (M, N), x (M, K) → dw (P, K, 16) */
export function matmulGradW(
  dy: usize, x: usize, dw: usize, M: u32, N: u32, K: u32, P: u32, begin: u32, end: u32,
): void {
  clear(dw + <usize>begin * K * 64, <usize>(end - begin) * K * 64)
  accumulate(dy, x, dw, M, N, K, begin, end)
}

/** dy (M, N), x (M, K), sum (P, K, 16) → dw (P, K, 16) in the memory of sum */
export function matmulGradWAdd(
  dy: usize, x: usize, sum: usize, M: u32, N: u32, K: u32, P: u32, begin: u32, end: u32,
): void {
  accumulate(dy, x, sum, M, N, K, begin, end)
}
