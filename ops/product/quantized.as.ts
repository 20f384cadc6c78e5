// Products with quantized weights (quantized.ts), with the RMSNorm that comes before, the
// activation and the residual add that come after. Parallel over panels, or pairs of them; each
// thread streams its own range front to back, once per block of rows. Rows are rounded to whole numbers
// (quantized_round.as.ts), by every thread for itself, and multiplied as such: one row by the
// weights as they lie, two panels at a time, few rows by q4 as it lies too, more by parts of a panel laid
// out once for all of them, up to 18 KiB, for the first-level cache.
// Bytes: the weights per block of rows, M·K of x per thread, M·N of y.
import { scratch } from "../../backends/wasm/thread.as"
import { fewRows, kept } from "./matmul.as"
import { isBytes, isWide, numberBytes } from "./quantized_block.as"
import { tileAsItLies } from "./quantized_few.as"
import { roundRow, roundTileRow, tileHasBytes, tileRecordBytes } from "./quantized_round.as"
import { roundedProduct } from "./quantized_row.as"
import { layOut, tileBlockBytes, tileOfBlocks } from "./quantized_tile.as"
import { clear, deliver, deliverRow, gate, sums } from "./sums.as"
import { rstdOf, sumSquares } from "../norm/rmsnorm.as"
import { lookUntil } from "../shared/stream.as"

/** Scratch that matmul.as.ts leaves: room to round in, then the blocks that are laid out. */
// @ts-ignore: decorator
@inline
function room(): usize { return scratch() + 786432 }
// @ts-ignore: decorator
@inline
function laidOut(): usize { return scratch() + 786432 + 4096 }

/** Bytes of the records that are kept: what lies between `kept` and `room`. */
const keptBytes: u32 = 655360
/** Most rows of a block: two tiles of sums of each are kept. */
const mostRows: u32 = 1023
/** Blocks laid out at a time for many rows. */
const blockRun: u32 = 32
/** Bytes of them for few rows, as in matmul.as.ts. */
const fewBytes: u32 = 1280
/** Rows of a tile, but of the last of a block of rows. */
const tileRows: u32 = 3

/** The same where the weights are taken as they lie. */
const fewTileRows: u32 = 4
/** Most rows for which q4 is. */
const mostFewRows: u32 = 40

/** Whether the weights are taken as they lie (quantized_few.as.ts). */
// @ts-ignore: decorator
@inline
function isFew(rows: u32, Z: u32): bool {
  return !isBytes(Z) && rows <= mostFewRows && tileHasBytes(Z)
}

/** Rows of the next tile of so many: where weights are taken as they lie, of nearly equal tiles, none of one. */
// @ts-ignore: decorator
@inline
function heightOf(rows: u32, few: bool): u32 {
  if (!few) return min(tileRows, rows)
  const tiles = (rows + fewTileRows - 1) / fewTileRows
  return (rows + tiles - 1) / tiles
}

/** Rows that are kept at a time: all, or as many as there is room for in blocks of nearly equal size. */
function rowsAtOnce(M: u32, C: u32): u32 {
  const most = min<u32>(mostRows, max<u32>(1, keptBytes / (C * <u32>tileRecordBytes)))
  const blocks = (M + most - 1) / most
  const rows = (M + blocks - 1) / blocks
  return min(most, (rows + tileRows - 1) / tileRows * tileRows)
}

/** Rounds rows x (rows, K) into scratch, normalized with `norm` (K) if it is not 0: one row for
 *  roundedProduct, more tile by tile. */
function keepRounded(x: usize, norm: usize, rows: u32, K: u32, C: u32, Z: u32, eps: f32): void {
  if (rows === 1) {
    const rstd = norm ? rstdOf(sumSquares(x, K), K, eps) : 1
    return roundRow(x, norm, rstd, K, Z, kept(), room())
  }
  let to = kept()
  const few = isFew(rows, Z)
  for (let m: u32 = 0, height: u32 = 0; m < rows; m += height) {
    height = heightOf(rows - m, few)
    for (let r: u32 = 0; r < height; r++) {
      const rstd = norm ? rstdOf(sumSquares(x, K), K, eps) : 1
      roundTileRow(x, norm, rstd, K, Z, to, height, r, room())
      x += <usize>K * 4
    }
    to += height * C * tileRecordBytes
  }
}

/** c (rows, 16) += kept rows · w, blocks of Z bytes. */
function panelProduct(
  w: usize, until: usize, c: usize, stride: usize, rows: u32, C: u32, Z: u32,
): void {
  if (isFew(rows, Z)) return fewProduct(w, until, c, stride, rows, C, Z)
  const run = rows <= fewRows ? fewBytes / Z : blockRun
  for (let first: u32 = 0; first < C; first += run) {
    const blocks = min(run, C - first)
    layOut(w + <usize>first * Z, Z, blocks, laidOut(), until, room())
    let a = kept(), to = c
    for (let m: u32 = 0; m < rows; m += tileRows) {
      const height = min(tileRows, rows - m)
      const record = height * tileRecordBytes
      tileOfBlocks(height, Z, a + first * record, laidOut(), to, stride, blocks)
      a += C * record
      to += height * stride
    }
  }
}

/** The same for few rows of q4. */
function fewProduct(
  w: usize, until: usize, c: usize, stride: usize, rows: u32, C: u32, Z: u32,
): void {
  let a = kept()
  for (let m: u32 = 0, height: u32 = 0; m < rows; m += height) {
    height = heightOf(rows - m, true)
    tileAsItLies(height, a, w, until, c, stride, C, Z, room())
    a += C * height * tileRecordBytes
    c += height * stride
  }
}

/** y (N) ← the kept row · panels begin … end at w, or +=. */
function rowOfPanels(
  w: usize, until: usize, y: usize, C: u32, Z: u32, N: u32, more: bool, begin: u32, end: u32,
): void {
  const panelBytes = <usize>C * Z
  for (let p = begin; p < end; p += 2) {
    const panel = w + p * panelBytes
    const panels = min<u32>(end - p, 2)
    clear(sums(), 128)
    const next = panels === 2 ? panel + panelBytes : panel
    roundedProduct(kept(), panel, next, until, sums(), C, Z)
    deliverRow(y + <usize>p * 64, min(N - p * 16, panels * 16), 1, more)
  }
}

/** y ← x·Wᵀ, or += where `more`; x normalized with `norm` (K), if it is not 0. */
function product(
  x: usize, norm: usize, w: usize, y: usize,
  M: u32, K: u32, C: u32, Z: u32, N: u32, eps: f32, more: bool, begin: u32, end: u32,
): void {
  const panelBytes = <usize>C * Z
  const until = lookUntil(w + end * panelBytes)
  const block = rowsAtOnce(M, C)
  for (let m: u32 = 0; m < M; m += block) {
    const rows = min(block, M - m)
    const from = x + <usize>m * K * 4
    keepRounded(from, norm, rows, K, C, Z, eps)
    if (rows === 1) {
      rowOfPanels(w, until, y + <usize>m * N * 4, C, Z, N, more, begin, end)
      continue
    }
    for (let p = begin; p < end; p++) {
      const panel = w + p * panelBytes
      clear(sums(), <usize>rows * 64)
      panelProduct(panel, until, sums(), 64, rows, C, Z)
      const to = y + (<usize>m * N + p * 16) * 4
      deliver(to, <usize>N * 4, rows, min(N - p * 16, 16), 1, more)
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

/** y ← silu(g)·v, [g, v] = x·Wᵀ; x normalized with `norm` (K), if it is not 0. */
function gatedProduct(
  x: usize, norm: usize, w: usize, y: usize,
  M: u32, K: u32, C: u32, Z: u32, F: u32, eps: f32, begin: u32, end: u32,
): void {
  const panelBytes = <usize>C * Z
  const until = lookUntil(w + 2 * end * panelBytes)
  const block = rowsAtOnce(M, C)
  for (let m: u32 = 0; m < M; m += block) {
    const rows = min(block, M - m)
    const from = x + <usize>m * K * 4
    keepRounded(from, norm, rows, K, C, Z, eps)
    for (let p = begin; p < end; p++) {
      const panel = w + 2 * p * panelBytes
      clear(sums(), <usize>rows * 128)
      const next = panel + panelBytes
      if (rows === 1) roundedProduct(kept(), panel, next, until, sums(), C, Z)
      else {
        panelProduct(panel, until, sums(), 128, rows, C, Z)
        panelProduct(next, until, sums() + 64, 128, rows, C, Z)
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
      const scales = block + numberBytes(Z)
      const scale = isWide(Z)
        ? load<f32>(scales + 4 * output)
        : reinterpret<f32>(<u32>load<u16>(scales + 2 * output) << 16)
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
  if (isBytes(Z)) return load<i8>(block + 32 * (k >> 1) + 2 * output + (k & 1))
  const byte = load<u8>(block + 64 * (k >> 3) + 4 * output + (k & 3))
  return <i32>(k & 4 ? byte >> 4 : byte & 15) - 8
}
