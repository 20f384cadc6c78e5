// y = x·Wᵀ and y = silu(g)·v with [g, v] = x·Wᵀ, W in panels of 16 outputs (ops/matmul.ts).
// Parallel over panels (pairs of them for the gated form): each thread streams its own range of
// weight bytes once per block of rows: once in all for M ≤ 100. x is copied into scratch tile by
// tile, block by block; 16-bit weights are widened a block of k at a time, except for a single row,
// which reads them as they are. Bytes: the weights, M·K of x per thread, M·N of y.
import { scratch } from "../backends/wasm/thread.as"
import { expVector } from "./math.as"
import { rowProduct, rowScale } from "./matmul_row.as"
import { tileProduct } from "./matmul_tile.as"
import { fromBf16, itemBytes } from "./half.as"

/** Numbers of x kept in scratch at a time: 640 KiB, within a core's second-level cache. */
const blockNumbers: u32 = 163840
/** Weights of a panel between partial sums: 32 KiB as f32, within the first-level cache. */
const blockDepth: u32 = 512
/** Depth of x that is kept at a time when there are many rows. */
const keptDepth: u32 = 2048

/** Whether tiles are 16 columns wide: right where V8 fuses 128-bit operations in pairs. */
let wideTiles: bool = false

/** Chooses the tile for this thread; the results are the same to the bit. */
export function setWideTiles(on: u32): void {
  wideTiles = on !== 0
}

// Scratch: a widened block of a panel, two tiles of sums per kept row, then x.
// @ts-ignore: decorator
@inline
function widened(): usize { return scratch() }
// @ts-ignore: decorator
@inline
function sums(): usize { return scratch() + 32768 }
// @ts-ignore: decorator
@inline
function kept(): usize { return scratch() + 131072 }

/** Rows in one block: as many as scratch holds, and blocks of nearly equal size. */
function blockRows(M: u32, depth: u32): u32 {
  const most = min<u32>(max<u32>(blockNumbers / depth, 6), 384) / 6 * 6
  const blocks = (M + most - 1) / most
  return (M + blocks - 1) / blocks
}

/** Rows of tile i of `tiles` that share `rows` evenly; the first ones are one taller. */
// @ts-ignore: decorator
@inline
function tileRows(rows: u32, tiles: u32, i: u32): u32 {
  return rows / tiles + (i < rows % tiles ? 1 : 0)
}

/** Copies x (rows, depth of K) into scratch: tile by tile, k by k, scaled for the row kernel. */
function keep(x: usize, K: u32, rows: u32, depth: u32, wType: u32): void {
  let to = kept()
  const scale = rows === 1 ? rowScale(wType) : 1
  const tiles = (rows + 5) / 6
  for (let i: u32 = 0; i < tiles; i++) {
    const height = tileRows(rows, tiles, i)
    const step = <usize>height * 4
    for (let r: u32 = 0; r < height; r++) {
      let out = to + <usize>r * 4
      const end = x + <usize>depth * 4
      for (let at = x; at < end; at += 4) {
        store<f32>(out, load<f32>(at) * scale)
        out += step
      }
      x += <usize>K * 4
    }
    to += step * depth
  }
}

/** Widens n·16 weights of f16 or bf16; they are finite. */
function widen(w: usize, n: u32, wType: u32): void {
  let to = widened()
  const end = to + <usize>n * 64
  const scale = f32x4.splat(5192296858534827628530496329220096.0)
  const mask = i32x4.splat(0x8fffe000)
  while (to < end) {
    if (wType === 2) {
      v128.store(to, fromBf16(v128.load16x4_u(w)))
      v128.store(to, fromBf16(v128.load16x4_u(w, 8)), 16)
    } else {
      const u = v128.and(i32x4.shl(v128.load16x4_s(w), 13), mask)
      const v = v128.and(i32x4.shl(v128.load16x4_s(w, 8), 13), mask)
      v128.store(to, f32x4.mul(u, scale))
      v128.store(to, f32x4.mul(v, scale), 16)
    }
    to += 32
    w += 16
  }
}

/** c (rows, 16) += kept x (rows, depth) · w (depth, 16), block by block of the depth. */
function panelProduct(w: usize, c: usize, stride: usize, rows: u32, depth: u32, wType: u32): void {
  if (rows === 1) return rowProduct(kept(), w, c, depth, wType)
  const tiles = (rows + 5) / 6
  for (let k: u32 = 0; k < depth; k += blockDepth) {
    const n = min(blockDepth, depth - k)
    let b = w + <usize>k * 64
    if (wType !== 0) {
      b = widened()
      widen(w + <usize>k * 32, n, wType)
    }
    let x = kept()
    let to = c
    for (let i: u32 = 0; i < tiles; i++) {
      const height = tileRows(rows, tiles, i)
      tileProduct(height, wideTiles, x + <usize>(height * k) * 4, b, to, stride, n)
      x += <usize>(height * depth) * 4
      to += stride * height
    }
  }
}

function clear(c: usize, stride: usize, rows: u32): void {
  const zero = f32x4.splat(0)
  for (let r: u32 = 0; r < rows; r++) {
    v128.store(c, zero)
    v128.store(c, zero, 16)
    v128.store(c, zero, 32)
    v128.store(c, zero, 48)
    c += stride
  }
}

/** Copies the first `columns` of each row of 16. */
function move(from: usize, step: usize, to: usize, stride: usize, rows: u32, columns: u32): void {
  for (let r: u32 = 0; r < rows; r++) {
    for (let j: usize = 0; j < columns; j++) store<f32>(to + j * 4, load<f32>(from + j * 4))
    from += step
    to += stride
  }
}

/** x (M, K), w (P, K, 16) → y (M, N) */
export function matmul(
  x: usize, w: usize, y: usize,
  M: u32, K: u32, P: u32, N: u32, wType: u32, begin: u32, end: u32,
): void {
  const most = M === 1 ? blockNumbers : keptDepth
  const rowBytes = <usize>K * 16 * itemBytes(wType)
  const stride = <usize>N * 4
  const block = blockRows(M, min(K, most))
  for (let m: u32 = 0; m < M; m += block) {
    const rows = min(block, M - m)
    for (let k: u32 = 0; k < K; k += most) {
      const depth = min(most, K - k)
      keep(x + (<usize>m * K + k) * 4, K, rows, depth, wType)
      for (let p = begin; p < end; p++) {
        const from = w + p * rowBytes + <usize>k * 16 * itemBytes(wType)
        const to = y + (<usize>m * N + p * 16) * 4
        const columns = min(N - p * 16, 16)
        if (columns === 16) {
          if (k === 0) clear(to, stride, rows)
          panelProduct(from, to, stride, rows, depth, wType)
          continue
        }
        clear(sums(), 64, rows)
        if (k > 0) move(to, stride, sums(), 64, rows, columns)
        panelProduct(from, sums(), 64, rows, depth, wType)
        move(sums(), 64, to, stride, rows, columns)
      }
    }
  }
}

/** sums (rows, gate 16, value 16) → silu(gate)·value over the gate. */
function gate(rows: u32): void {
  const one = f32x4.splat(1)
  const end = sums() + <usize>rows * 128
  for (let c = sums(); c < end; c += 128) {
    for (let j: usize = 0; j < 64; j += 16) {
      const g = v128.load(c + j)
      const silu = f32x4.div(g, f32x4.add(one, expVector(f32x4.neg(g))))
      v128.store(c + j, f32x4.mul(silu, v128.load(c + j, 64)))
    }
  }
}

/** x (M, K), w (2·P, K, 16) → y (M, F) */
export function matmulSwiglu(
  x: usize, w: usize, y: usize,
  M: u32, K: u32, P: u32, F: u32, wType: u32, begin: u32, end: u32,
): void {
  const most = M === 1 ? blockNumbers : blockNumbers / 6
  const kBytes = 16 * itemBytes(wType)
  const block = blockRows(M, min(K, most))
  for (let m: u32 = 0; m < M; m += block) {
    const rows = min(block, M - m)
    const from = x + <usize>m * K * 4
    if (K <= most) keep(from, K, rows, K, wType)
    for (let p = begin; p < end; p++) {
      clear(sums(), 64, rows * 2)
      for (let k: u32 = 0; k < K; k += most) {
        const depth = min(most, K - k)
        if (K > most) keep(from + <usize>k * 4, K, rows, depth, wType)
        const panel = w + (<usize>(2 * p) * K + k) * kBytes
        panelProduct(panel, sums(), 128, rows, depth, wType)
        panelProduct(panel + <usize>K * kBytes, sums() + 64, 128, rows, depth, wType)
      }
      gate(rows)
      const to = y + (<usize>m * F + p * 16) * 4
      move(sums(), 128, to, <usize>F * 4, rows, min(F - p * 16, 16))
    }
  }
}
