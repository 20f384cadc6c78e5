// y = x·Wᵀ and y = silu(g)·v with [g, v] = x·Wᵀ, W in panels of 16 outputs (matmul.ts), with
// the RMSNorm that comes before and the residual add that comes after, where they are wanted.
// Parallel over panels (pairs of them for the gated form): each thread streams its own range of
// weights front to back, once per block of rows; a block is 78 rows or more for K ≤ 2048. x is
// copied into scratch tile by tile, k by k, and normalized on the way, by every thread for itself;
// sums are kept there too and delivered to y at the end.
// 16-bit weights are read as they are and widened in registers. They are finite: pack counts those
// that are not. Bytes: the weights per block of rows, M·K of x per thread, M·N of y.
import { scratch } from "../../backends/wasm/thread.as"
import { rowProduct } from "./matmul_row.as"
import { tileProduct } from "./matmul_tile.as"
import { clear, deliver, deliverRow, gate, sums } from "./sums.as"
import { itemBytes } from "../shared/half.as"
import { rstdOf, sumSquares } from "../norm/rmsnorm.as"
import { lookUntil } from "../shared/stream.as"

/** Numbers of x kept in scratch at a time: 640 KiB, within a core's second-level cache. */
const blockNumbers: u32 = 163840
/** Depth of a panel that all tiles go through in turn: 32 KiB as f32, for the first-level cache. */
const blockDepth: u32 = 512
/** Rows that are few, and the depth of a panel that all tiles of these go through in turn: about what a
 *  processor fetches ahead of whoever reads, so that the next piece comes while this one is multiplied. */
export const fewRows: u32 = 32
const fewDepth: u32 = 64
const fewHalves: u32 = 40
/** Depth of x that is kept at a time when there are many rows. */
const keptDepth: u32 = 2048

/** Whether tiles are 16 columns wide: right where V8 fuses 128-bit operations in pairs. */
let wideTiles: bool = false

/** Chooses the tile for this thread; the results are the same to the bit. */
export function setWideTiles(on: u32): void {
  wideTiles = on !== 0
}

/** Whether this thread's tiles are 16 columns wide. */
// @ts-ignore: decorator
@inline
export function hasWideTiles(): bool { return wideTiles }

// Scratch: two tiles of sums per kept row, then x; 256 KiB are left for others.
// @ts-ignore: decorator
@inline
export function kept(): usize { return scratch() + 131072 }

/** Factor that x carries, and the sums once more: the kernels take f16 weights as w·2^-112, and
 *  halving that keeps products far from both ends of f32. */
// @ts-ignore: decorator
@inline
function scaleOf(wType: u32): f32 {
  return wType === 1 ? 72057594037927936.0 : 1
}

/** Rows in one block: as many as scratch holds, and blocks of nearly equal size. */
export function blockRows(M: u32, depth: u32): u32 {
  const most = min<u32>(max<u32>(blockNumbers / depth, 6), 384) / 6 * 6
  const blocks = (M + most - 1) / most
  return (M + blocks - 1) / blocks
}

/** Tiles of rows that share a block: six rows each, or five where a register goes to f16's mask or
 *  to the products of the build without fused multiply-adds. */
// @ts-ignore: decorator
@inline
function tilesOf(rows: u32, wType: u32): u32 {
  const most: u32 = wType === 1 || !ASC_FEATURE_RELAXED_SIMD ? 5 : 6
  return (rows + most - 1) / most
}

/** Rows of tile i of `tiles` that share `rows` evenly; the first ones are one taller. */
// @ts-ignore: decorator
@inline
function tileRows(rows: u32, tiles: u32, i: u32): u32 {
  return rows / tiles + (i < rows % tiles ? 1 : 0)
}

/** Copies columns k … k + depth of x (rows, K) into scratch: tile by tile, k by k, scaled; rows
 *  normalized with the weights `norm` (K), if there are any. */
export function keep(
  x: usize, norm: usize, K: u32, k: u32, rows: u32, depth: u32, eps: f32, wType: u32,
): void {
  let to = kept()
  const scale = scaleOf(wType)
  const tiles = tilesOf(rows, wType)
  for (let i: u32 = 0; i < tiles; i++) {
    const height = tileRows(rows, tiles, i)
    const step = <usize>height * 4
    for (let r: u32 = 0; r < height; r++) {
      let out = to + <usize>r * 4
      let at = x + <usize>k * 4
      const end = at + <usize>depth * 4
      if (norm) {
        const rstd = rstdOf(sumSquares(x, K), K, eps)
        for (let n = norm + <usize>k * 4; at < end; at += 4, n += 4, out += step) {
          store<f32>(out, load<f32>(at) * rstd * load<f32>(n) * scale)
        }
      } else {
        for (; at < end; at += 4, out += step) store<f32>(out, load<f32>(at) * scale)
      }
      x += <usize>K * 4
    }
    to += step * depth
  }
}

/** c (rows, 16) += columns k … k + n of kept x (rows, depth) · b (n, 16). */
export function blockProduct(
  b: usize, c: usize, stride: usize, rows: u32, depth: u32, k: u32, n: u32, wType: u32,
): void {
  const tiles = tilesOf(rows, wType)
  let x = kept()
  for (let i: u32 = 0; i < tiles; i++) {
    const height = tileRows(rows, tiles, i)
    tileProduct(height, wideTiles, wType, x + <usize>(height * k) * 4, b, c, stride, n)
    x += <usize>(height * depth) * 4
    c += stride * height
  }
}

/** c (rows, 16) += kept x (rows, depth) · w (depth, 16), block by block of the depth. */
function panelProduct(
  w: usize, c: usize, stride: usize, rows: u32, depth: u32, wType: u32,
): void {
  const few = wType === 0 ? fewDepth : fewHalves
  const most = rows <= fewRows ? few : blockDepth
  for (let k: u32 = 0; k < depth; k += most) {
    const b = w + <usize>k * 16 * itemBytes(wType)
    blockProduct(b, c, stride, rows, depth, k, min(most, depth - k), wType)
  }
}

/** y (N) ← kept x (depth) · panels begin … end at w, or +=; `until`: of the weights that the caller goes
 *  through (stream.as.ts). */
function rowOfPanels(
  w: usize, panelBytes: usize, until: usize, y: usize,
  depth: u32, N: u32, wType: u32, more: bool, begin: u32, end: u32,
): void {
  for (let p = begin; p < end; p += 2) {
    const panel = w + p * panelBytes
    const panels = min<u32>(end - p, 2)
    clear(sums(), 128)
    const next = panels === 2 ? panel + panelBytes : panel
    rowProduct(kept(), panel, next, sums(), depth, wType, until, sums() + 128)
    deliverRow(y + <usize>p * 64, min(N - p * 16, panels * 16), scaleOf(wType), more)
  }
}

/** y ← x·Wᵀ, or += where `more`; x normalized with `norm` (K), if it is not 0. */
function product(
  x: usize, norm: usize, w: usize, y: usize,
  M: u32, K: u32, N: u32, eps: f32, wType: u32, more: bool, begin: u32, end: u32,
): void {
  const most = M === 1 ? blockNumbers : keptDepth
  const rowBytes = <usize>K * 16 * itemBytes(wType)
  const until = lookUntil(w + <usize>end * rowBytes)
  const stride = <usize>N * 4
  const block = blockRows(M, min(K, most))
  for (let m: u32 = 0; m < M; m += block) {
    const rows = min(block, M - m)
    for (let k: u32 = 0; k < K; k += most) {
      const depth = min(most, K - k)
      keep(x + <usize>m * K * 4, norm, K, k, rows, depth, eps, wType)
      const first = w + <usize>k * 16 * itemBytes(wType)
      if (rows === 1) {
        const to = y + <usize>m * N * 4
        rowOfPanels(first, rowBytes, until, to, depth, N, wType, more || k > 0, begin, end)
        continue
      }
      for (let p = begin; p < end; p++) {
        const to = y + (<usize>m * N + p * 16) * 4
        clear(sums(), <usize>rows * 64)
        panelProduct(first + p * rowBytes, sums(), 64, rows, depth, wType)
        deliver(to, stride, rows, min(N - p * 16, 16), scaleOf(wType), more || k > 0)
      }
    }
  }
}

/** x (M, K), w (P, K, 16) → y (M, N) */
export function matmul(
  x: usize, w: usize, y: usize,
  M: u32, K: u32, P: u32, N: u32, wType: u32, begin: u32, end: u32,
): void {
  product(x, 0, w, y, M, K, N, 0, wType, false, begin, end)
}

/** x (M, K), n (K), w (P, K, 16) → y (M, N) */
export function normMatmul(
  x: usize, n: usize, w: usize, y: usize,
  M: u32, K: u32, P: u32, N: u32, eps: f32, wType: u32, begin: u32, end: u32,
): void {
  product(x, n, w, y, M, K, N, eps, wType, false, begin, end)
}

/** x (M, K), w (P, K, 16), r (M, N) → y (M, N) in the memory of r */
export function matmulAdd(
  x: usize, w: usize, r: usize,
  M: u32, K: u32, P: u32, N: u32, wType: u32, begin: u32, end: u32,
): void {
  product(x, 0, w, r, M, K, N, 0, wType, true, begin, end)
}

/** y ← silu(g)·v, [g, v] = x·Wᵀ; x normalized with `norm` (K), if it is not 0. */
function gatedProduct(
  x: usize, norm: usize, w: usize, y: usize,
  M: u32, K: u32, F: u32, eps: f32, wType: u32, begin: u32, end: u32,
): void {
  const most = M === 1 ? blockNumbers : blockNumbers / 6
  const kBytes = 16 * itemBytes(wType)
  const until = lookUntil(w + 2 * <usize>end * K * kBytes)
  const block = blockRows(M, min(K, most))
  for (let m: u32 = 0; m < M; m += block) {
    const rows = min(block, M - m)
    const from = x + <usize>m * K * 4
    if (K <= most) keep(from, norm, K, 0, rows, K, eps, wType)
    for (let p = begin; p < end; p++) {
      clear(sums(), <usize>rows * 128)
      for (let k: u32 = 0; k < K; k += most) {
        const depth = min(most, K - k)
        if (K > most) keep(from, norm, K, k, rows, depth, eps, wType)
        const panel = w + (<usize>(2 * p) * K + k) * kBytes
        const next = panel + <usize>K * kBytes
        if (rows === 1) {
          rowProduct(kept(), panel, next, sums(), depth, wType, until, sums() + 128)
          continue
        }
        panelProduct(panel, sums(), 128, rows, depth, wType)
        panelProduct(next, sums() + 64, 128, rows, depth, wType)
      }
      const to = y + (<usize>m * F + p * 16) * 4
      gate(to, <usize>F * 4, rows, min(F - p * 16, 16), scaleOf(wType))
    }
  }
}

/** x (M, K), w (2·P, K, 16) → y (M, F) */
export function matmulSwiglu(
  x: usize, w: usize, y: usize,
  M: u32, K: u32, P: u32, F: u32, wType: u32, begin: u32, end: u32,
): void {
  gatedProduct(x, 0, w, y, M, K, F, 0, wType, begin, end)
}

/** x (M, K), n (K), w (2·P, K, 16) → y (M, F) */
export function normMatmulSwiglu(
  x: usize, n: usize, w: usize, y: usize,
  M: u32, K: u32, P: u32, F: u32, eps: f32, wType: u32, begin: u32, end: u32,
): void {
  gatedProduct(x, n, w, y, M, K, F, eps, wType, begin, end)
}
