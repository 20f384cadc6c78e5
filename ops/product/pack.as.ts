// Panels (P, K, 16) of a matrix (N, K): out of rows, or drawn at random (pack.ts). Parallel
// over panels. Bytes: the matrix once in its old dtype, once in its new one. Rows come in four by
// four with a transposition in registers, 64 columns at a time, so that the panel is written piece
// by piece while it lies in the first-level cache.
import { scratch } from "../../backends/wasm/thread.as"
import { itemBytes, loadFour, loadOne, storeBits, storeOne, toBits } from "../shared/half.as"
import { normalPair, schedule, threefry } from "../plain/random.as"

/** First row of the matrix in panel p: the panels of the halves alternate. */
// @ts-ignore: decorator
@inline
export function firstRow(p: u32, N: u32, Halves: u32): u32 {
  return (p % Halves) * (N / Halves) + (p / Halves) * 16
}

/** Rows of the matrix in panel p; the rest of its 16 outputs are zeros. */
// @ts-ignore: decorator
@inline
export function panelRows(p: u32, N: u32, Halves: u32): u32 {
  return min<u32>(N / Halves - (p / Halves) * 16, 16)
}

/** Exponent bits of a dtype, all ones in what is not finite. */
// @ts-ignore: decorator
@inline
function exponentOf(dtype: u32): u32 {
  return dtype === 0 ? 0x7f800000 : dtype === 1 ? 0x7c00 : 0x7f80
}

/** −1 in each lane whose bits are not finite. */
// @ts-ignore: decorator
@inline
function notFinite(bits: v128, exponent: v128): v128 {
  return i32x4.eq(v128.and(bits, exponent), exponent)
}

/** Four rows of `n` columns (a multiple of 4), `stride` bytes apart, to four outputs of a panel.
 *  Returns minus the number of those that are not finite, lane by lane. */
// @ts-ignore: decorator
@inline
function transpose(x: usize, stride: usize, w: usize, n: u32, xType: u32, wType: u32): v128 {
  const step = itemBytes(xType) * 4
  const line = itemBytes(wType) * 16
  const exponent = i32x4.splat(exponentOf(wType))
  let bad = i32x4.splat(0)
  for (let k: u32 = 0; k < n; k += 4) {
    const a = toBits(loadFour(x, xType), wType)
    const b = toBits(loadFour(x + stride, xType), wType)
    const c = toBits(loadFour(x + stride * 2, xType), wType)
    const d = toBits(loadFour(x + stride * 3, xType), wType)
    bad = i32x4.add(bad, i32x4.add(notFinite(a, exponent), notFinite(b, exponent)))
    bad = i32x4.add(bad, i32x4.add(notFinite(c, exponent), notFinite(d, exponent)))
    const e = v128.shuffle<i32>(a, b, 0, 4, 1, 5), f = v128.shuffle<i32>(c, d, 0, 4, 1, 5)
    const g = v128.shuffle<i32>(a, b, 2, 6, 3, 7), h = v128.shuffle<i32>(c, d, 2, 6, 3, 7)
    storeBits(w, v128.shuffle<i32>(e, f, 0, 1, 4, 5), wType)
    storeBits(w + line, v128.shuffle<i32>(e, f, 2, 3, 6, 7), wType)
    storeBits(w + line * 2, v128.shuffle<i32>(g, h, 0, 1, 4, 5), wType)
    storeBits(w + line * 3, v128.shuffle<i32>(g, h, 2, 3, 6, 7), wType)
    x += step
    w += line * 4
  }
  return bad
}

// The dtypes are constants inside each of these.
function fours(x: usize, stride: usize, w: usize, n: u32, xType: u32, wType: u32): v128 {
  switch (xType * 3 + wType) {
    case 0: return transpose(x, stride, w, n, 0, 0)
    case 1: return transpose(x, stride, w, n, 0, 1)
    case 2: return transpose(x, stride, w, n, 0, 2)
    case 3: return transpose(x, stride, w, n, 1, 0)
    case 4: return transpose(x, stride, w, n, 1, 1)
    case 5: return transpose(x, stride, w, n, 1, 2)
    case 6: return transpose(x, stride, w, n, 2, 0)
    case 7: return transpose(x, stride, w, n, 2, 1)
    default: return transpose(x, stride, w, n, 2, 2)
  }
}

/** Columns k … k + n of `rows` rows, one number at a time, zeros below them.
 *  Returns how many are not finite. */
function ones(
  x: usize, stride: usize, w: usize, rows: u32, n: u32, xType: u32, wType: u32,
): u32 {
  const exponent = i32x4.splat(exponentOf(wType))
  let bad: u32 = 0
  for (let k: u32 = 0; k < n; k++) {
    for (let r: u32 = 0; r < 4; r++) {
      const value = r < rows ? loadOne(x + stride * r, xType) : 0
      storeOne(w + <usize>r * itemBytes(wType), value, wType)
      const bits = toBits(f32x4.splat(value), wType)
      bad -= i32x4.extract_lane(notFinite(bits, exponent), 0)
    }
    x += itemBytes(xType)
    w += itemBytes(wType) * 16
  }
  return bad
}

/** x (N, K) → w (P, K, 16), bad (P) */
export function pack(
  x: usize, w: usize, bad: usize,
  N: u32, K: u32, P: u32, Halves: u32, xType: u32, wType: u32, begin: u32, end: u32,
): void {
  const stride = itemBytes(xType) * K
  const line = itemBytes(wType) * 16
  for (let p = begin; p < end; p++) {
    const rows = panelRows(p, N, Halves)
    const from = x + stride * firstRow(p, N, Halves)
    const to = w + line * K * p
    let sum = i32x4.splat(0)
    let few: u32 = 0
    for (let k: u32 = 0; k < K; k += 64) {
      const n = min<u32>(K - k, 64)
      for (let r: u32 = 0; r < 16; r += 4) {
        const at = from + stride * r + itemBytes(xType) * k
        const out = to + line * k + itemBytes(wType) * r
        const whole = r + 4 <= rows ? n & ~3 : 0
        if (whole) sum = i32x4.add(sum, fours(at, stride, out, whole, xType, wType))
        const some = <u32>max<i32>(<i32>rows - <i32>r, 0)
        few += ones(at + itemBytes(xType) * whole, stride, out + line * whole, some,
          n - whole, xType, wType)
      }
    }
    few -= i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1)
    few -= i32x4.extract_lane(sum, 2) + i32x4.extract_lane(sum, 3)
    store<f32>(bad + <usize>p * 4, <f32>few)
  }
}

/** Four outputs of a panel, all K: lanes are rows n … n + 3; the deviation is 0 below the matrix. */
// @ts-ignore: decorator
@inline
function drawFour(w: usize, n: v128, deviation: v128, K: u32, wType: u32): void {
  const at = scratch()
  const line = itemBytes(wType) * 16
  for (let k: u32 = 0; k < K; k += 2) {
    threefry(i32x4.splat(k >> 1), n, at)
    normalPair(at, deviation)
    storeBits(w, toBits(v128.load(at), wType), wType)
    if (k + 1 < K) storeBits(w + line, toBits(v128.load(at, 16), wType), wType)
    w += line * 2
  }
}

// The dtype is a constant inside each of these.
function draw(w: usize, n: v128, deviation: v128, K: u32, wType: u32): void {
  if (wType === 0) drawFour(w, n, deviation, K, 0)
  else if (wType === 1) drawFour(w, n, deviation, K, 1)
  else drawFour(w, n, deviation, K, 2)
}

/** → w (P, K, 16) */
export function randomPanels(
  w: usize,
  N: u32, K: u32, P: u32, Halves: u32, Seed: u32, Stream: u32, std: f32, wType: u32,
  begin: u32, end: u32,
): void {
  schedule(Seed, Stream, scratch())
  for (let p = begin; p < end; p++) {
    const first = i32x4.splat(firstRow(p, N, Halves))
    const rows = i32x4.splat(panelRows(p, N, Halves))
    for (let r: u32 = 0; r < 16; r += 4) {
      const output = i32x4.add(i32x4.splat(r), i32x4(0, 1, 2, 3))
      const deviation = v128.and(f32x4.splat(std), i32x4.lt_u(output, rows))
      const to = w + (<usize>p * K * 16 + r) * itemBytes(wType)
      draw(to, i32x4.add(first, output), deviation, K, wType)
    }
  }
}

/** Four columns of the matrix out of a panel: rows of the panel become columns. */
// @ts-ignore: decorator
@inline
function unpackFour(w: usize, x: usize, stride: usize, wType: u32, xType: u32): void {
  const line = itemBytes(wType) * 16
  const a = toBits(loadFour(w, wType), xType)
  const b = toBits(loadFour(w + line, wType), xType)
  const c = toBits(loadFour(w + line * 2, wType), xType)
  const d = toBits(loadFour(w + line * 3, wType), xType)
  const e = v128.shuffle<i32>(a, b, 0, 4, 1, 5), f = v128.shuffle<i32>(c, d, 0, 4, 1, 5)
  const g = v128.shuffle<i32>(a, b, 2, 6, 3, 7), h = v128.shuffle<i32>(c, d, 2, 6, 3, 7)
  storeBits(x, v128.shuffle<i32>(e, f, 0, 1, 4, 5), xType)
  storeBits(x + stride, v128.shuffle<i32>(e, f, 2, 3, 6, 7), xType)
  storeBits(x + stride * 2, v128.shuffle<i32>(g, h, 0, 1, 4, 5), xType)
  storeBits(x + stride * 3, v128.shuffle<i32>(g, h, 2, 3, 6, 7), xType)
}

/** w (P, K, 16) → x (N, K): four by four numbers with a transposition in registers, the rest one at
 *  a time. */
export function unpack(
  w: usize, x: usize,
  N: u32, K: u32, P: u32, Halves: u32, wType: u32, xType: u32, begin: u32, end: u32,
): void {
  const stride = <usize>K * itemBytes(xType)
  const whole = K & ~3
  for (let p = begin; p < end; p++) {
    const rows = panelRows(p, N, Halves)
    const panel = w + <usize>p * K * 16 * itemBytes(wType)
    const first = x + firstRow(p, N, Halves) * stride
    const fours = rows & ~3
    for (let j: u32 = 0; j < fours; j += 4) {
      let from = panel + j * itemBytes(wType)
      let to = first + j * stride
      for (let k: u32 = 0; k < whole; k += 4) {
        unpackFour(from, to, stride, wType, xType)
        from += 64 * itemBytes(wType)
        to += 4 * itemBytes(xType)
      }
    }
    for (let j: u32 = 0; j < rows; j++) {
      for (let k: u32 = j < fours ? whole : 0; k < K; k++) {
        const value = loadOne(panel + (<usize>k * 16 + j) * itemBytes(wType), wType)
        storeOne(first + j * stride + k * itemBytes(xType), value, xType)
      }
    }
  }
}
