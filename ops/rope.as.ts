// Per head of qkv: RMSNorm over E, rotation of the pairs (j, j + E/2) by the position's row of
// angles, y1 = x1·cos − x2·sin, y2 = x2·cos + x1·sin; queries go to q, keys and values to the
// cache.
// Parallel plan: one head of one position per work item. Bytes: qkv and the angles read, q and the
// new cache rows written once. The caller sees to it that position + T stays within cache and
// table.
import { scratch } from "../backends/wasm/thread.as"
import { rstdOf, sumSquares } from "./rmsnorm.as"
import { madd } from "./simd.as"

/** Normalises E numbers at x by rstd and w, rotates them by `angles`, and stores them at y. */
export function rotateRow(
  x: usize, w: usize, angles: usize, y: usize, E: u32, rstd: f32,
): void {
  const half = (<usize>E) << 1
  const r = f32x4.splat(rstd)
  let j: usize = 0
  for (; j + 16 <= half; j += 16) {
    const cos = v128.load(angles + j)
    const sin = v128.load(angles + half + j)
    const x1 = f32x4.mul(f32x4.mul(v128.load(x + j), r), v128.load(w + j))
    const x2 = f32x4.mul(f32x4.mul(v128.load(x + half + j), r), v128.load(w + half + j))
    v128.store(y + j, madd(x1, cos, f32x4.neg(f32x4.mul(x2, sin))))
    v128.store(y + half + j, madd(x2, cos, f32x4.mul(x1, sin)))
  }
  for (; j < half; j += 4) {
    const cos = load<f32>(angles + j)
    const sin = load<f32>(angles + half + j)
    const x1 = load<f32>(x + j) * rstd * load<f32>(w + j)
    const x2 = load<f32>(x + half + j) * rstd * load<f32>(w + half + j)
    store<f32>(y + j, x1 * cos - x2 * sin)
    store<f32>(y + half + j, x2 * cos + x1 * sin)
  }
}

export function qkNormRope(
  qkv: usize, qNorm: usize, kNorm: usize, angles: usize, keys: usize, values: usize,
  position: usize, q: usize, B: u32, T: u32, H: u32, G: u32, S: u32, E: u32, eps: f32,
  begin: u32, end: u32,
): void {
  const heads = H + 2 * G
  const bytes = (<usize>E) << 2
  for (let i = begin; i < end; i++) {
    const row = i / heads
    const head = i % heads
    const b = row / T
    const at = load<i32>(position + ((<usize>b) << 2)) + <i32>(row % T)
    const x = qkv + (<usize>i) * bytes
    const table = angles + (<usize>at) * bytes
    if (head < H) {
      const y = q + (<usize>row * H + head) * bytes
      rotateRow(x, qNorm, table, y, E, rstdOf(sumSquares(x, E), E, eps))
      continue
    }
    const isKey = head < H + G
    const g = b * G + head - (isKey ? H : H + G)
    const cache = (<usize>g * S + at) * bytes
    if (isKey) rotateRow(x, kNorm, table, keys + cache, E, rstdOf(sumSquares(x, E), E, eps))
    else memory.copy(values + cache, x, bytes)
  }
}

/** The rotation alone: rotateRow with a norm that changes nothing. */
export function ropeWrite(
  q: usize, k: usize, v: usize, angles: usize, keys: usize, values: usize, position: usize,
  y: usize, B: u32, T: u32, H: u32, G: u32, S: u32, E: u32, begin: u32, end: u32,
): void {
  const heads = H + 2 * G
  const bytes = (<usize>E) << 2
  const ones = scratch()
  for (let j: usize = 0; j < bytes; j += 4) store<f32>(ones + j, 1)
  for (let i = begin; i < end; i++) {
    const row = i / heads
    const head = i % heads
    const b = row / T
    const at = load<i32>(position + ((<usize>b) << 2)) + <i32>(row % T)
    const table = angles + (<usize>at) * bytes
    if (head < H) {
      const from = (<usize>row * H + head) * bytes
      rotateRow(q + from, ones, table, y + from, E, 1)
      continue
    }
    const isKey = head < H + G
    const g = head - (isKey ? H : H + G)
    const from = (<usize>row * G + g) * bytes
    const cache = (<usize>(b * G + g) * S + at) * bytes
    if (isKey) rotateRow(k + from, ones, table, keys + cache, E, 1)
    else memory.copy(values + cache, v + from, bytes)
  }
}
