// y = x·Wᵀ and dx = dy·W with the numbers that quantized weights stand for, on the tiles of the product
// in f32 (matmul_tile.as.ts). Some hundreds of rows lie in scratch as tiles, 512 columns of them at a time;
// weights are widened into scratch beside them, once for all of these rows: of y sixteen blocks of a panel,
// of dx a block of each of 32 panels, which are transposed.
// Parallel over panels, of dx over columns of blocks. Bytes: the weights once per block of rows, x and y
// (dy and dx); every thread reads x (dy) for itself.
import { blockProduct, blockRows, keep } from "./matmul.as"
import { clear, deliver, sums } from "./sums.as"
import { depthAtATime, panel, transposeSquare } from "./matmul_grad.as"
import { expandBlock } from "./quantized_block.as"

/** Bytes of a block that is widened. */
const wideBytes: usize = 2048
/** Bytes of a panel of 512 rows in f32. */
const panelBytes: usize = 32768

/** Scratch after two panels: one block. */
// @ts-ignore: decorator
@inline
function expanded(): usize { return panel() + 2 * panelBytes }

/** y ← x·Wᵀ, or += where `more` */
function product(
  x: usize, w: usize, y: usize,
  M: u32, K: u32, C: u32, Z: u32, N: u32, more: bool, begin: u32, end: u32,
): void {
  const block = blockRows(M, depthAtATime)
  const stride = <usize>N * 4
  for (let m: u32 = 0; m < M; m += block) {
    const rows = min(block, M - m)
    for (let k: u32 = 0; k < K; k += depthAtATime) {
      const depth = min(depthAtATime, K - k)
      keep(x + <usize>m * K * 4, 0, K, k, rows, depth, 0, 0)
      for (let p = begin; p < end; p++) {
        let from = w + (<usize>p * C + (k >> 5)) * Z
        for (let to = panel(), i: u32 = 0; i < depth; i += 32, to += wideBytes, from += Z) {
          expandBlock(from, Z, to)
        }
        clear(sums(), <usize>rows * 64)
        blockProduct(panel(), sums(), 64, rows, depth, 0, depth, 0)
        const to = y + (<usize>m * N + p * 16) * 4
        deliver(to, stride, rows, min(N - p * 16, 16), 1, more || k > 0)
      }
    }
  }
}

/** x (M, K), w (P, C, Z) → y (M, N) */
export function matmulDequantized(
  x: usize, w: usize, y: usize,
  M: u32, K: u32, P: u32, C: u32, Z: u32, N: u32, begin: u32, end: u32,
): void {
  product(x, w, y, M, K, C, Z, N, false, begin, end)
}

/** x (M, K), w (P, C, Z), r (M, N) → y (M, N) in the memory of r */
export function matmulAddDequantized(
  x: usize, w: usize, r: usize,
  M: u32, K: u32, P: u32, C: u32, Z: u32, N: u32, begin: u32, end: u32,
): void {
  product(x, w, r, M, K, C, Z, N, true, begin, end)
}

/** Blocks of `panels` panels from w on, `step` bytes apart: their first sixteen columns of outputs into a
 *  panel, the others into the next. */
function transposeBlocks(w: usize, step: usize, Z: u32, panels: u32): void {
  let to = panel()
  for (let p: u32 = 0; p < panels; p++, w += step, to += 1024) {
    expandBlock(w, Z, expanded())
    transposeSquare(expanded(), to, 0)
    transposeSquare(expanded() + 1024, to + panelBytes, 0)
  }
}

/** dy (M, N), w (P, C, Z) → dx (M, K) */
export function matmulDequantizedGradX(
  dy: usize, w: usize, dx: usize,
  M: u32, K: u32, P: u32, C: u32, Z: u32, N: u32, begin: u32, end: u32,
): void {
  const block = blockRows(M, depthAtATime)
  const stride = <usize>K * 4
  for (let m: u32 = 0; m < M; m += block) {
    const rows = min(block, M - m)
    for (let n: u32 = 0; n < N; n += depthAtATime) {
      const depth = min(depthAtATime, N - n)
      keep(dy + <usize>m * N * 4, 0, N, n, rows, depth, 0, 0)
      for (let c = begin; c < end; c++) {
        const from = w + (<usize>(n >> 4) * C + c) * Z
        transposeBlocks(from, <usize>C * Z, Z, (depth + 15) / 16)
        for (let k = c * 32, i: usize = 0; i < 2 && k < K; k += 16, i++) {
          clear(sums(), <usize>rows * 64)
          blockProduct(panel() + i * panelBytes, sums(), 64, rows, depth, 0, depth, 0)
          deliver(dx + (<usize>m * K + k) * 4, stride, rows, min<u32>(16, K - k), 1, n > 0)
        }
      }
    }
  }
}
