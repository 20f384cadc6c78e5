// Per head of qkv: RMSNorm over E, rotation of the pairs (j, j + E/2) by the position's row of
// angles, y1 = x1·cos − x2·sin, y2 = x2·cos + x1·sin; queries go to q, keys and values to the
// cache.
// In f16 caches numbers beyond ±65504, which keys do not reach but values might, become that: an
// infinity would make NaN of whatever attends to it.
// Parallel plan: one head of one position per work item. Bytes: qkv and the angles read, q and the
// new cache rows written once. The caller sees to it that position + T stays within cache and
// table.
import { scratch } from "../../backends/wasm/thread.as"
import { itemBytes, storeFour, storeOne } from "../shared/half.as"
import { rstdOf, sumSquares } from "../norm/rmsnorm.as"
import { madd } from "../shared/simd.as"
import { quantizeRow } from "./q8_rows.as"

/** Normalizes E numbers at x by rstd and w, rotates them by `angles`, and stores them at y. */
export function rotateRow(
  x: usize, w: usize, angles: usize, y: usize, E: u32, rstd: f32,
): void {
  const half = (<usize>E) << 1
  const r = f32x4.splat(rstd)
  let j: usize = 0
  // In pairs, which V8 fuses into 256-bit operations.
  for (; j + 32 <= half; j += 32) {
    const at = angles + j, x1 = x + j, w1 = w + j, y1 = y + j
    const x2 = x1 + half, w2 = w1 + half, y2 = y1 + half
    const cos0 = v128.load(at), cos1 = v128.load(at, 16)
    const sin0 = v128.load(at + half), sin1 = v128.load(at + half, 16)
    const a0 = f32x4.mul(f32x4.mul(v128.load(x1), r), v128.load(w1))
    const a1 = f32x4.mul(f32x4.mul(v128.load(x1, 16), r), v128.load(w1, 16))
    const b0 = f32x4.mul(f32x4.mul(v128.load(x2), r), v128.load(w2))
    const b1 = f32x4.mul(f32x4.mul(v128.load(x2, 16), r), v128.load(w2, 16))
    const c0 = f32x4.mul(b0, sin0), c1 = f32x4.mul(b1, sin1)
    const d0 = f32x4.mul(a0, sin0), d1 = f32x4.mul(a1, sin1)
    v128.store(y1, madd(a0, cos0, f32x4.neg(c0)))
    v128.store(y1, madd(a1, cos1, f32x4.neg(c1)), 16)
    v128.store(y2, madd(b0, cos0, d0))
    v128.store(y2, madd(b1, cos1, d1), 16)
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

/** A cache row of E numbers in the cache's dtype. */
function writeRow(x: usize, y: usize, E: u32, cacheType: u32): void {
  if (cacheType === 0) return memory.copy(y, x, (<usize>E) << 2)
  const high = f32x4.splat(65504), low = f32x4.splat(-65504)
  let e: u32 = 0
  for (; e + 4 <= E; e += 4, x += 16, y += 8) {
    storeFour(y, f32x4.max(f32x4.min(v128.load(x), high), low), cacheType)
  }
  for (; e < E; e++, x += 4, y += 2) {
    storeOne(y, max<f32>(min<f32>(load<f32>(x), 65504), -65504), cacheType)
  }
}

/** Normalizes and rotates a key into its row of the cache. */
function writeKey(
  x: usize, w: usize, angles: usize, y: usize, E: u32, rstd: f32, keysType: u32, spare: usize,
): void {
  rotateRow(x, w, angles, keysType ? spare : y, E, rstd)
  if (keysType) writeRow(spare, y, E, keysType)
}

// `isQ8` is whether the cache is one of q8, a constant where these are inlined.

// @ts-ignore: decorator
@inline
function cacheRowBytes(isQ8: bool, E: u32, keysType: u32): usize {
  return isQ8 ? <usize>E + 4 : <usize>E * itemBytes(keysType)
}

// @ts-ignore: decorator
@inline
function keepValue(isQ8: bool, x: usize, y: usize, E: u32, keysType: u32): void {
  if (isQ8) quantizeRow(x, y, E)
  else writeRow(x, y, E, keysType)
}

// @ts-ignore: decorator
@inline
function keepKey(
  isQ8: bool, x: usize, w: usize, angles: usize, y: usize, E: u32, rstd: f32, keysType: u32,
  spare: usize,
): void {
  if (!isQ8) return writeKey(x, w, angles, y, E, rstd, keysType, spare)
  rotateRow(x, w, angles, spare, E, rstd)
  quantizeRow(spare, y, E)
}

/** Queries to q, keys and values to the cache; queries and keys normalized and rotated. */
// @ts-ignore: decorator
@inline
function storeNormed(
  isQ8: bool, qkv: usize, qNorm: usize, kNorm: usize, angles: usize, keys: usize, values: usize,
  position: usize, q: usize, T: u32, H: u32, G: u32, S: u32, E: u32, eps: f32, keysType: u32,
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
    const cache = (<usize>g * S + at) * cacheRowBytes(isQ8, E, keysType)
    if (isKey) {
      const rstd = rstdOf(sumSquares(x, E), E, eps)
      keepKey(isQ8, x, kNorm, table, keys + cache, E, rstd, keysType, scratch())
    } else keepValue(isQ8, x, values + cache, E, keysType)
  }
}

export function qkNormRope(
  qkv: usize, qNorm: usize, kNorm: usize, angles: usize, keys: usize, values: usize,
  position: usize, q: usize, B: u32, T: u32, H: u32, G: u32, S: u32, E: u32, eps: f32,
  keysType: u32, begin: u32, end: u32,
): void {
  storeNormed(
    false, qkv, qNorm, kNorm, angles, keys, values, position, q, T, H, G, S, E, eps, keysType,
    begin, end,
  )
}

export function qkNormRopeQ8(
  qkv: usize, qNorm: usize, kNorm: usize, angles: usize, keys: usize, values: usize,
  position: usize, q: usize, B: u32, T: u32, H: u32, G: u32, S: u32, E: u32, eps: f32,
  begin: u32, end: u32,
): void {
  storeNormed(
    true, qkv, qNorm, kNorm, angles, keys, values, position, q, T, H, G, S, E, eps, 0, begin, end,
  )
}

/** The rotation alone: rotateRow with a norm that changes nothing. */
export function ropeWrite(
  q: usize, k: usize, v: usize, angles: usize, keys: usize, values: usize, position: usize,
  y: usize, B: u32, T: u32, H: u32, G: u32, S: u32, E: u32, keysType: u32,
  begin: u32, end: u32,
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
    const cache = (<usize>(b * G + g) * S + at) * E * itemBytes(keysType)
    if (isKey) writeKey(k + from, ones, table, keys + cache, E, 1, keysType, ones + bytes)
    else writeRow(v + from, values + cache, E, keysType)
  }
}

/** Queries to q, keys and values to the cache; queries and keys rotated where there are angles. */
// @ts-ignore: decorator
@inline
function storeHeads(
  isQ8: bool, isRotated: bool, qkv: usize, angles: usize, keys: usize, values: usize,
  position: usize, q: usize, T: u32, H: u32, G: u32, S: u32, E: u32, keysType: u32, begin: u32, end: u32,
): void {
  const heads = H + 2 * G
  const bytes = (<usize>E) << 2
  const ones = scratch()
  if (isRotated) for (let j: usize = 0; j < bytes; j += 4) store<f32>(ones + j, 1)
  for (let i = begin; i < end; i++) {
    const row = i / heads
    const head = i % heads
    const b = row / T
    const at = load<i32>(position + ((<usize>b) << 2)) + <i32>(row % T)
    const x = qkv + (<usize>i) * bytes
    const table = angles + (<usize>at) * bytes
    if (head < H) {
      const y = q + (<usize>row * H + head) * bytes
      if (isRotated) rotateRow(x, ones, table, y, E, 1)
      else memory.copy(y, x, bytes)
      continue
    }
    const isKey = head < H + G
    const g = b * G + head - (isKey ? H : H + G)
    const cache = (<usize>g * S + at) * cacheRowBytes(isQ8, E, keysType)
    if (!isKey) keepValue(isQ8, x, values + cache, E, keysType)
    else if (isRotated) {
      keepKey(isQ8, x, ones, table, keys + cache, E, 1, keysType, ones + bytes)
    } else keepValue(isQ8, x, keys + cache, E, keysType)
  }
}

export function ropeHeads(
  qkv: usize, angles: usize, keys: usize, values: usize, position: usize, q: usize,
  B: u32, T: u32, H: u32, G: u32, S: u32, E: u32, keysType: u32, begin: u32, end: u32,
): void {
  storeHeads(
    false, true, qkv, angles, keys, values, position, q, T, H, G, S, E, keysType, begin, end,
  )
}

export function splitHeads(
  qkv: usize, keys: usize, values: usize, position: usize, q: usize,
  B: u32, T: u32, H: u32, G: u32, S: u32, E: u32, keysType: u32, begin: u32, end: u32,
): void {
  storeHeads(false, false, qkv, 0, keys, values, position, q, T, H, G, S, E, keysType, begin, end)
}

export function ropeHeadsQ8(
  qkv: usize, angles: usize, keys: usize, values: usize, position: usize, q: usize,
  B: u32, T: u32, H: u32, G: u32, S: u32, E: u32, begin: u32, end: u32,
): void {
  storeHeads(true, true, qkv, angles, keys, values, position, q, T, H, G, S, E, 0, begin, end)
}

export function splitHeadsQ8(
  qkv: usize, keys: usize, values: usize, position: usize, q: usize,
  B: u32, T: u32, H: u32, G: u32, S: u32, E: u32, begin: u32, end: u32,
): void {
  storeHeads(true, false, qkv, 0, keys, values, position, q, T, H, G, S, E, 0, begin, end)
}
