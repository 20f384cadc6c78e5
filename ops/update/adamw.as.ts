// AdamW in one pass over a parameter, its two moments and its gradient, and the sums of squares that
// make a gradient's norm. Parallel over runs of 4,096 numbers (squares: of 65,536, each summed in
// f64, so that the parts do not depend on threads). Bytes: four numbers read and three written
// (squares: one read).

/** x (N) → parts (R) */
export function squareSums(x: usize, parts: usize, N: u32, R: u32, begin: u32, end: u32): void {
  for (let r = <usize>begin; r < end; r++) {
    let from = x + (r << 18)
    const last = x + ((<usize>min<u32>(N, <u32>(r + 1) << 16)) << 2)
    let low = f64x2.splat(0), high = low
    for (; from + 16 <= last; from += 16) {
      const a = v128.load(from)
      const lo = f64x2.promote_low_f32x4(a)
      const hi = f64x2.promote_low_f32x4(v128.shuffle<i64>(a, a, 1, 1))
      low = f64x2.add(low, f64x2.mul(lo, lo))
      high = f64x2.add(high, f64x2.mul(hi, hi))
    }
    const both = f64x2.add(low, high)
    let total = f64x2.extract_lane(both, 0) + f64x2.extract_lane(both, 1)
    for (; from < last; from += 4) {
      const one = <f64>load<f32>(from)
      total += one * one
    }
    store<f32>(parts + (r << 2), <f32>total)
  }
}

/** p, m, v, g (N), rates (3), scale (1) → p, m, v in place */
export function adamW(
  p: usize, m: usize, v: usize, g: usize, rates: usize, scale: usize,
  N: u32, beta1: f32, beta2: f32, eps: f32, decay: f32, begin: u32, end: u32,
): void {
  const factor = load<f32>(scale)
  if (factor < 0) return
  const keep = f32x4.splat(1 - load<f32>(rates) * decay)
  const rate = f32x4.splat(load<f32>(rates, 4))
  const root = f32x4.splat(load<f32>(rates, 8))
  const b1 = f32x4.splat(beta1), c1 = f32x4.splat((1 - beta1) * factor)
  const b2 = f32x4.splat(beta2), c2 = f32x4.splat((1 - beta2) * factor * factor)
  const least = f32x4.splat(eps)
  let at = (<usize>begin) << 14
  const last = (<usize>min<u32>(N, end << 12)) << 2
  for (; at < last; at += 16) {
    const whole = at + 16 <= last
    const gradient = whole ? v128.load(g + at) : v128.load32_zero(g + at)
    const m0 = whole ? v128.load(m + at) : v128.load32_zero(m + at)
    const v0 = whole ? v128.load(v + at) : v128.load32_zero(v + at)
    const p0 = whole ? v128.load(p + at) : v128.load32_zero(p + at)
    const m1 = f32x4.add(f32x4.mul(m0, b1), f32x4.mul(gradient, c1))
    const v1 = f32x4.add(f32x4.mul(v0, b2), f32x4.mul(f32x4.mul(gradient, gradient), c2))
    const below = f32x4.add(f32x4.mul(f32x4.sqrt(v1), root), least)
    const p1 = f32x4.sub(f32x4.mul(p0, keep), f32x4.div(f32x4.mul(m1, rate), below))
    if (whole) {
      v128.store(m + at, m1); v128.store(v + at, v1); v128.store(p + at, p1)
    } else {
      v128.store32_lane(m + at, m1, 0); v128.store32_lane(v + at, v1, 0)
      v128.store32_lane(p + at, p1, 0)
      at -= 12
    }
  }
}

/** a, b (N) → a += b */
export function accumulate(a: usize, b: usize, N: u32, begin: u32, end: u32): void {
  let at = (<usize>begin) << 14
  const last = (<usize>min<u32>(N, end << 12)) << 2
  for (; at + 16 <= last; at += 16) {
    v128.store(a + at, f32x4.add(v128.load(a + at), v128.load(b + at)))
  }
  for (; at < last; at += 4) store<f32>(a + at, load<f32>(a + at) + load<f32>(b + at))
}
