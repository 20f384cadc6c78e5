// y = (x − mean)·(var + eps)^-½·w + b per row, biased variance of the centred row (two passes).
// Parallel plan: one row per work item. Bytes: a row is read three times, twice from the L1 cache
// (D ≤ 8192), and written once.
import { sumLanes } from "../shared/math.as"
import { rstdOf } from "./rmsnorm.as"
import { madd } from "../shared/simd.as"

// @ts-ignore: decorator
@inline
function term(x: v128, m: v128, squared: bool, sum: v128): v128 {
  const centred = f32x4.sub(x, m)
  return squared ? madd(centred, centred, sum) : f32x4.add(centred, sum)
}

/** Σ (x − mean), or its squares, over D numbers. */
// @ts-ignore: decorator
@inline
export function sumCentred(x: usize, D: u32, mean: f32, squared: bool): f32 {
  const m = f32x4.splat(mean)
  let a = f32x4.splat(0), b = a, c = a, d = a
  const end = x + ((<usize>D) << 2)
  for (; x + 64 <= end; x += 64) {
    a = term(v128.load(x), m, squared, a)
    b = term(v128.load(x, 16), m, squared, b)
    c = term(v128.load(x, 32), m, squared, c)
    d = term(v128.load(x, 48), m, squared, d)
  }
  for (; x + 16 <= end; x += 16) a = term(v128.load(x), m, squared, a)
  let rest: f32 = 0
  for (; x < end; x += 4) {
    const centred = load<f32>(x) - mean
    rest += squared ? centred * centred : centred
  }
  return sumLanes(f32x4.add(f32x4.add(a, b), f32x4.add(c, d))) + rest
}

export function layerNorm(
  x: usize, w: usize, b: usize, y: usize, N: u32, D: u32, eps: f32, begin: u32, end: u32,
): void {
  const bytes = (<usize>D) << 2
  for (let n = <usize>begin; n < end; n++) {
    const row = x + n * bytes
    const out = y + n * bytes
    const mean = sumCentred(row, D, 0, false) / <f32>D
    const rstd = rstdOf(sumCentred(row, D, mean, true), D, eps)
    const m = f32x4.splat(mean)
    const r = f32x4.splat(rstd)
    let i: usize = 0
    for (; i + 32 <= bytes; i += 32) {
      const u0 = f32x4.mul(f32x4.sub(v128.load(row + i), m), r)
      const u1 = f32x4.mul(f32x4.sub(v128.load(row + i, 16), m), r)
      v128.store(out + i, madd(u0, v128.load(w + i), v128.load(b + i)))
      v128.store(out + i, madd(u1, v128.load(w + i, 16), v128.load(b + i, 16)), 16)
    }
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
