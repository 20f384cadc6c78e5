// The gradient of y = x·rstd·w: with u = x·rstd and g = dy·w,
//   dx = rstd·(g − u·mean(g·u)) (+ dsum),  dw = Σ dy·u over 16 rows, one part of R.
// Parallel plan: 16 rows and their part of dw per work item. Bytes: x, dy and dsum are read twice,
// the second time from the cache, two rows at a time so that dw is read and written half as often.
import { sumLanes } from "../shared/math.as"
import { rowsPerPart } from "../shared/parts.as"
import { madd } from "../shared/simd.as"

/** Σ x·w·dy over D numbers. */
function weightedDot(x: usize, w: usize, dy: usize, D: u32): f32 {
  let a = f32x4.splat(0), b = a
  const end = x + ((<usize>D) << 2)
  for (; x + 32 <= end; x += 32, w += 32, dy += 32) {
    const g0 = f32x4.mul(v128.load(dy), v128.load(w))
    const g1 = f32x4.mul(v128.load(dy, 16), v128.load(w, 16))
    a = madd(g0, v128.load(x), a)
    b = madd(g1, v128.load(x, 16), b)
  }
  let rest: f32 = 0
  for (; x < end; x += 4, w += 4, dy += 4) rest += load<f32>(dy) * load<f32>(w) * load<f32>(x)
  return sumLanes(f32x4.add(a, b)) + rest
}

/** dx = rstd·dy·w + share·x (+ dsum) of four numbers; returns dy·x·rstd. */
// @ts-ignore: decorator
@inline
function gradOfFour(
  residual: bool, x: usize, dy: usize, dsum: usize, dx: usize, w: v128, rstd: v128, share: v128,
): v128 {
  const d = f32x4.mul(v128.load(dy), rstd)
  const value = v128.load(x)
  const own = f32x4.mul(value, share)
  v128.store(dx, madd(d, w, residual ? f32x4.add(own, v128.load(dsum)) : own))
  return f32x4.mul(d, value)
}

// @ts-ignore: decorator
@inline
function gradOfOne(
  residual: bool, x: usize, dy: usize, dsum: usize, dx: usize, w: f32, rstd: f32, share: f32,
): f32 {
  const d = load<f32>(dy) * rstd
  const value = load<f32>(x)
  const own = value * share
  store<f32>(dx, d * w + (residual ? own + load<f32>(dsum) : own))
  return d * value
}

/** dx of two rows `next` bytes apart (0: one row), and their share of dw. */
// @ts-ignore: decorator
@inline
function gradOfRows(
  two: bool, residual: bool, x: usize, w: usize, dy: usize, dsum: usize, dx: usize, dw: usize,
  D: u32, rstd0: f32, rstd1: f32,
): void {
  const next = <usize>D * 4
  const count: f32 = 1 / <f32>D
  const share0: f32 = -rstd0 * rstd0 * rstd0 * count * weightedDot(x, w, dy, D)
  const share1: f32 = two
    ? -rstd1 * rstd1 * rstd1 * count * weightedDot(x + next, w, dy + next, D)
    : 0
  const r0 = f32x4.splat(rstd0), r1 = f32x4.splat(rstd1)
  const s0 = f32x4.splat(share0), s1 = f32x4.splat(share1)
  let e: usize = 0
  for (; e + 16 <= next; e += 16) {
    const n = e + next
    const v = v128.load(w + e)
    let sum = v128.load(dw + e)
    sum = f32x4.add(sum, gradOfFour(residual, x + e, dy + e, dsum + e, dx + e, v, r0, s0))
    if (two)
      sum = f32x4.add(sum, gradOfFour(residual, x + n, dy + n, dsum + n, dx + n, v, r1, s1))
    v128.store(dw + e, sum)
  }
  for (; e < next; e += 4) {
    const n = e + next
    const v = load<f32>(w + e)
    let sum = load<f32>(dw + e)
    sum += gradOfOne(residual, x + e, dy + e, dsum + e, dx + e, v, rstd0, share0)
    if (two) sum += gradOfOne(residual, x + n, dy + n, dsum + n, dx + n, v, rstd1, share1)
    store<f32>(dw + e, sum)
  }
}

// @ts-ignore: decorator
@inline
function gradOfPart(
  residual: bool, x: usize, w: usize, rstd: usize, dy: usize, dsum: usize, dx: usize, dw: usize,
  D: u32, rows: u32,
): void {
  const bytes = <usize>D * 4
  memory.fill(dw, 0, bytes)
  let n: usize = 0
  for (; n + 2 <= rows; n += 2) {
    const at = n * bytes
    const r0 = load<f32>(rstd + n * 4), r1 = load<f32>(rstd + n * 4, 4)
    gradOfRows(true, residual, x + at, w, dy + at, dsum + at, dx + at, dw, D, r0, r1)
  }
  if (n < rows) {
    const at = n * bytes
    const r = load<f32>(rstd + n * 4)
    gradOfRows(false, residual, x + at, w, dy + at, dsum + at, dx + at, dw, D, r, r)
  }
}

export function rmsNormGrad(
  x: usize, w: usize, rstd: usize, dy: usize, dx: usize, dwParts: usize,
  N: u32, D: u32, R: u32, begin: u32, end: u32,
): void {
  const bytes = <usize>D * 4
  for (let part = begin; part < end; part++) {
    const n = part * rowsPerPart
    const at = n * bytes
    const rows = min(rowsPerPart, N - n)
    const dw = dwParts + part * bytes
    gradOfPart(false, x + at, w, rstd + n * 4, dy + at, 0, dx + at, dw, D, rows)
  }
}

export function addRmsNormGrad(
  sum: usize, w: usize, rstd: usize, dy: usize, dsum: usize, dx: usize, dwParts: usize,
  N: u32, D: u32, R: u32, begin: u32, end: u32,
): void {
  const bytes = <usize>D * 4
  for (let part = begin; part < end; part++) {
    const n = part * rowsPerPart
    const at = n * bytes
    const rows = min(rowsPerPart, N - n)
    const dw = dwParts + part * bytes
    gradOfPart(true, sum + at, w, rstd + n * 4, dy + at, dsum + at, dx + at, dw, D, rows)
  }
}
