// y = (x − mean)·(var + eps)^-½·w + b per row, biased variance of the centred row (two passes).
// Parallel plan: one row per work item. Bytes: a row is read three times, twice from the L1 cache
// (D ≤ 8192), and written once.
import { sumLanes } from "./math.as"
import { rstdOf } from "./rmsnorm.as"
import { madd } from "./simd.as"

/** Σ x over D numbers. */
function sumRow(x: usize, D: u32): f32 {
  let a = f32x4.splat(0)
  let b = a
  const end = x + ((<usize>D) << 2)
  for (; x + 32 <= end; x += 32) {
    a = f32x4.add(a, v128.load(x))
    b = f32x4.add(b, v128.load(x, 16))
  }
  let rest: f32 = 0
  for (; x < end; x += 4) rest += load<f32>(x)
  return sumLanes(f32x4.add(a, b)) + rest
}

/** Σ (x − mean)² over D numbers. */
function sumCentredSquares(x: usize, D: u32, mean: f32): f32 {
  const m = f32x4.splat(mean)
  let a = f32x4.splat(0)
  let b = a
  const end = x + ((<usize>D) << 2)
  for (; x + 32 <= end; x += 32) {
    const x0 = f32x4.sub(v128.load(x), m)
    const x1 = f32x4.sub(v128.load(x, 16), m)
    a = madd(x0, x0, a)
    b = madd(x1, x1, b)
  }
  let rest: f32 = 0
  for (; x < end; x += 4) rest += (load<f32>(x) - mean) * (load<f32>(x) - mean)
  return sumLanes(f32x4.add(a, b)) + rest
}

export function layerNorm(
  x: usize, w: usize, b: usize, y: usize, N: u32, D: u32, eps: f32, begin: u32, end: u32,
): void {
  const bytes = (<usize>D) << 2
  for (let n = <usize>begin; n < end; n++) {
    const row = x + n * bytes
    const out = y + n * bytes
    const mean = sumRow(row, D) / <f32>D
    const rstd = rstdOf(sumCentredSquares(row, D, mean), D, eps)
    const m = f32x4.splat(mean)
    const r = f32x4.splat(rstd)
    let i: usize = 0
    for (; i + 16 <= bytes; i += 16) {
      const unit = f32x4.mul(f32x4.sub(v128.load(row + i), m), r)
      v128.store(out + i, madd(unit, v128.load(w + i), v128.load(b + i)))
    }
    for (; i < bytes; i += 4) {
      const unit = (load<f32>(row + i) - mean) * rstd
      store<f32>(out + i, unit * load<f32>(w + i) + load<f32>(b + i))
    }
  }
}
