// Products with quantized weights (quantized.ts), with the RMSNorm that comes before, the
// activation and the residual add that come after. Parallel over panels, or pairs of them; each
// thread streams its own range front to back. One row is rounded to whole numbers and multiplied as
// such; more rows take the f32 tile, with 512 by 16 weights widened at a time: 32 KiB, for the
// first-level cache. Bytes: the weights per block of rows, M·K of x per thread, M·N of y.
import { scratch } from "../../backends/wasm/thread.as"
import {
  blockDepth, blockProduct, blockRows, clear, deliver, gate, keep, keptDepth, kept, sums,
} from "./matmul.as"
import { expandBlock, q8Bytes } from "./quantized_block.as"
import { roundedProduct, roundRow } from "./quantized_row.as"
import { rstdOf, sumSquares } from "../norm/rmsnorm.as"
import { lookUntil } from "../shared/stream.as"

/** Scratch that matmul.as.ts leaves: widened weights. */
// @ts-ignore: decorator
@inline
function widened(): usize { return scratch() + 786432 }

/** Depth of x kept at a time for the gated product: whole blocks, all of which six rows have. */
const gatedDepth: u32 = 27296

/** Rounds the one row x (K) into scratch, normalised with `norm` (K) if it is not 0. */
function keepRounded(x: usize, norm: usize, K: u32, Z: u32, eps: f32): void {
  const rstd = norm ? rstdOf(sumSquares(x, K), K, eps) : 1
  roundRow(x, norm, rstd, K, Z, kept(), widened())
}

/** c (rows, 16) += kept x (rows, depth) · w, blocks of Z bytes. */
function panelProduct(w: usize, Z: u32, c: usize, stride: usize, rows: u32, depth: u32): void {
  for (let k: u32 = 0; k < depth; k += blockDepth) {
    const n = min(blockDepth, depth - k)
    for (let i: u32 = 0; i < n; i += 32) {
      expandBlock(w, Z, widened() + <usize>i * 64)
      w += Z
    }
    blockProduct(widened(), c, stride, rows, depth, k, n, 0)
  }
}

/** y ← x·Wᵀ, or += where `more`; x normalised with `norm` (K), if it is not 0. */
function product(
  x: usize, norm: usize, w: usize, y: usize,
  M: u32, K: u32, C: u32, Z: u32, N: u32, eps: f32, more: bool, begin: u32, end: u32,
): void {
  const panelBytes = <usize>C * Z
  if (M === 1) {
    const until = lookUntil(w + end * panelBytes)
    keepRounded(x, norm, K, Z, eps)
    for (let p = begin; p < end; p++) {
      clear(sums(), 64)
      roundedProduct(kept(), w + p * panelBytes, until, sums(), C, Z)
      deliver(y + <usize>p * 64, 0, 1, min(N - p * 16, 16), 1, more)
    }
    return
  }
  const block = blockRows(M, min(K, keptDepth))
  for (let m: u32 = 0; m < M; m += block) {
    const rows = min(block, M - m)
    for (let k: u32 = 0; k < K; k += keptDepth) {
      const depth = min(keptDepth, K - k)
      keep(x + <usize>m * K * 4, norm, K, k, rows, depth, eps, 0)
      for (let p = begin; p < end; p++) {
        clear(sums(), <usize>rows * 64)
        panelProduct(w + p * panelBytes + (k >> 5) * Z, Z, sums(), 64, rows, depth)
        const to = y + (<usize>m * N + p * 16) * 4
        deliver(to, <usize>N * 4, rows, min(N - p * 16, 16), 1, more || k > 0)
      }
    }
  }
}

/** x (M, K), w (P, C, Z) → y (M, N) */
export function matmulQuantized(
  x: usize, w: usize, y: usize,
  M: u32, K: u32, P: u32, C: u32, Z: u32, N: u32, begin: u32, end: u32,
): void {
  product(x, 0, w, y, M, K, C, Z, N, 0, false, begin, end)
}

/** x (M, K), n (K), w (P, C, Z) → y (M, N) */
export function normMatmulQuantized(
  x: usize, n: usize, w: usize, y: usize,
  M: u32, K: u32, P: u32, C: u32, Z: u32, N: u32, eps: f32, begin: u32, end: u32,
): void {
  product(x, n, w, y, M, K, C, Z, N, eps, false, begin, end)
}

/** x (M, K), w (P, C, Z), r (M, N) → y (M, N) in the memory of r */
export function matmulAddQuantized(
  x: usize, w: usize, r: usize,
  M: u32, K: u32, P: u32, C: u32, Z: u32, N: u32, begin: u32, end: u32,
): void {
  product(x, 0, w, r, M, K, C, Z, N, 0, true, begin, end)
}

/** y ← silu(g)·v, [g, v] = x·Wᵀ; x normalised with `norm` (K), if it is not 0. */
function gatedProduct(
  x: usize, norm: usize, w: usize, y: usize,
  M: u32, K: u32, C: u32, Z: u32, F: u32, eps: f32, begin: u32, end: u32,
): void {
  const panelBytes = <usize>C * Z
  if (M === 1) {
    const until = lookUntil(w + 2 * end * panelBytes)
    keepRounded(x, norm, K, Z, eps)
    for (let p = begin; p < end; p++) {
      const panel = w + 2 * p * panelBytes
      clear(sums(), 128)
      roundedProduct(kept(), panel, until, sums(), C, Z)
      roundedProduct(kept(), panel + panelBytes, until, sums() + 64, C, Z)
      gate(y + <usize>p * 64, 0, 1, min(F - p * 16, 16), 1)
    }
    return
  }
  const block = blockRows(M, min(K, gatedDepth))
  for (let m: u32 = 0; m < M; m += block) {
    const rows = min(block, M - m)
    const from = x + <usize>m * K * 4
    if (K <= gatedDepth) keep(from, norm, K, 0, rows, K, eps, 0)
    for (let p = begin; p < end; p++) {
      clear(sums(), <usize>rows * 128)
      for (let k: u32 = 0; k < K; k += gatedDepth) {
        const depth = min(gatedDepth, K - k)
        if (K > gatedDepth) keep(from, norm, K, k, rows, depth, eps, 0)
        const panel = w + 2 * p * panelBytes + (k >> 5) * Z
        panelProduct(panel, Z, sums(), 128, rows, depth)
        panelProduct(panel + panelBytes, Z, sums() + 64, 128, rows, depth)
      }
      const to = y + (<usize>m * F + p * 16) * 4
      gate(to, <usize>F * 4, rows, min(F - p * 16, 16), 1)
    }
  }
}

/** x (M, K), w (2·P, C, Z) → y (M, F) */
export function matmulSwigluQuantized(
  x: usize, w: usize, y: usize,
  M: u32, K: u32, P: u32, C: u32, Z: u32, F: u32, begin: u32, end: u32,
): void {
  gatedProduct(x, 0, w, y, M, K, C, Z, F, 0, begin, end)
}

/** x (M, K), n (K), w (2·P, C, Z) → y (M, F) */
export function normMatmulSwigluQuantized(
  x: usize, n: usize, w: usize, y: usize,
  M: u32, K: u32, P: u32, C: u32, Z: u32, F: u32, eps: f32, begin: u32, end: u32,
): void {
  gatedProduct(x, n, w, y, M, K, C, Z, F, eps, begin, end)
}

/** ids (N), w (P, C, Z) → x (N, D) */
export function embedQuantized(
  ids: usize, w: usize, x: usize,
  N: u32, P: u32, C: u32, Z: u32, D: u32, begin: u32, end: u32,
): void {
  for (let n = begin; n < end; n++) {
    const id = load<u32>(ids + <usize>n * 4)
    const output = <usize>(id & 15)
    let block = w + <usize>(id >> 4) * C * Z
    let to = x + <usize>n * D * 4
    for (let k: u32 = 0; k < D; k += 32) {
      const scale = reinterpret<f32>(<u32>load<u16>(block + Z - 32 + 2 * output) << 16)
      for (let i: u32 = 0, most = min<u32>(D - k, 32); i < most; i++) {
        store<f32>(to, <f32>numberAt(block, output, i, Z) * scale)
        to += 4
      }
      block += Z
    }
  }
}

/** Whole number k of an output of a block. */
// @ts-ignore: decorator
@inline
function numberAt(block: usize, output: usize, k: usize, Z: u32): i32 {
  if (Z === q8Bytes) return load<i8>(block + 32 * (k >> 1) + 2 * output + (k & 1))
  const byte = load<u8>(block + 64 * (k >> 3) + 4 * output + (k & 3))
  return <i32>(k & 4 ? byte >> 4 : byte & 15) - 8
}
