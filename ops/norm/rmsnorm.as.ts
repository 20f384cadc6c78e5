// y = x·rstd·w with rstd = (mean(x²) + eps)^-½, alone and after a residual add.
// Parallel plan: one row per work item. Bytes: a row is read twice, the second time from the L1
// cache (D ≤ 8192), and written once; the sum of squares runs in 16 f32 lanes.
import { sumLanes } from "../shared/math.as"
import { madd } from "../shared/simd.as"

/** Σ x² over D numbers. */
export function sumSquares(x: usize, D: u32): f32 {
  let a = f32x4.splat(0)
  let b = a
  let c = a
  let d = a
  const end = x + ((<usize>D) << 2)
  for (; x + 64 <= end; x += 64) {
    const x0 = v128.load(x)
    const x1 = v128.load(x, 16)
    const x2 = v128.load(x, 32)
    const x3 = v128.load(x, 48)
    a = madd(x0, x0, a)
    b = madd(x1, x1, b)
    c = madd(x2, x2, c)
    d = madd(x3, x3, d)
  }
  for (; x + 16 <= end; x += 16) {
    const x0 = v128.load(x)
    a = madd(x0, x0, a)
  }
  let rest: f32 = 0
  for (; x < end; x += 4) rest += load<f32>(x) * load<f32>(x)
  return sumLanes(f32x4.add(f32x4.add(a, b), f32x4.add(c, d))) + rest
}

/** sum = x + d; returns Σ sum². */
function addSquares(x: usize, d: usize, sum: usize, D: u32): f32 {
  let a = f32x4.splat(0)
  let b = a
  const end = x + ((<usize>D) << 2)
  for (; x + 32 <= end; x += 32, d += 32, sum += 32) {
    const s0 = f32x4.add(v128.load(x), v128.load(d))
    const s1 = f32x4.add(v128.load(x, 16), v128.load(d, 16))
    v128.store(sum, s0)
    v128.store(sum, s1, 16)
    a = madd(s0, s0, a)
    b = madd(s1, s1, b)
  }
  for (; x + 16 <= end; x += 16, d += 16, sum += 16) {
    const s0 = f32x4.add(v128.load(x), v128.load(d))
    v128.store(sum, s0)
    a = madd(s0, s0, a)
  }
  let rest: f32 = 0
  for (; x < end; x += 4, d += 4, sum += 4) {
    const s = load<f32>(x) + load<f32>(d)
    store<f32>(sum, s)
    rest += s * s
  }
  return sumLanes(f32x4.add(a, b)) + rest
}

/** y = x·scale·w over D numbers. */
function scaleRow(x: usize, w: usize, y: usize, D: u32, scale: f32): void {
  const r = f32x4.splat(scale)
  const end = x + ((<usize>D) << 2)
  for (; x + 32 <= end; x += 32, w += 32, y += 32) {
    const y0 = f32x4.mul(f32x4.mul(v128.load(x), r), v128.load(w))
    const y1 = f32x4.mul(f32x4.mul(v128.load(x, 16), r), v128.load(w, 16))
    v128.store(y, y0)
    v128.store(y, y1, 16)
  }
  for (; x < end; x += 4, w += 4, y += 4) store<f32>(y, load<f32>(x) * scale * load<f32>(w))
}

/** (Σ x² / D + eps)^-½ */
// @ts-ignore: decorator
@inline
export function rstdOf(squares: f32, D: u32, eps: f32): f32 {
  return 1 / sqrt<f32>(squares / <f32>D + eps)
}

export function rmsNorm(
  x: usize, w: usize, y: usize, rstd: usize, N: u32, D: u32, eps: f32, begin: u32, end: u32,
): void {
  const bytes = (<usize>D) << 2
  for (let n = <usize>begin; n < end; n++) {
    const row = x + n * bytes
    const r = rstdOf(sumSquares(row, D), D, eps)
    store<f32>(rstd + (n << 2), r)
    scaleRow(row, w, y + n * bytes, D, r)
  }
}

export function addRmsNorm(
  x: usize, d: usize, w: usize, sum: usize, y: usize, rstd: usize, N: u32, D: u32, eps: f32,
  begin: u32, end: u32,
): void {
  const bytes = (<usize>D) << 2
  for (let n = <usize>begin; n < end; n++) {
    const at = n * bytes
    const squares = addSquares(x + at, d + at, sum + at, D)
    const r = rstdOf(squares, D, eps)
    store<f32>(rstd + (n << 2), r)
    scaleRow(sum + at, w, y + at, D, r)
  }
}
