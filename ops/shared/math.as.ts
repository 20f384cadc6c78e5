// exp and log in f32, four lanes at a time, and sums and maxima across lanes. Polynomials fitted
// for the least relative error in float64; the scalar forms are lane 0 of the vector ones, so a
// tail rounds as the rest of its row does. NaN in, NaN out.
import { madd } from "./simd.as"

/** eˣ, relative error below 2e-7: x = n·ln 2 + r, |r| ≤ ½ ln 2, eˣ = 2ⁿ·p(r). 0 below −87.33, and
 *  no more than 2.4e38 from 88.37 on, where f32 is about to end. */
// @ts-ignore: decorator
@inline
export function expVector(x: v128): v128 {
  const low = f32x4.splat(-87.33)
  const a = f32x4.pmax(f32x4.pmin(x, f32x4.splat(88.37)), low)
  // Adding 1.5·2²³ leaves n in the low bits of the sum, rounded to nearest.
  const magic = f32x4.splat(12582912)
  const shifted = madd(a, f32x4.splat(1.4426950408889634), magic)
  const n = f32x4.sub(shifted, magic)
  const coarse = madd(n, f32x4.splat(-0.693359375), a)
  const r = madd(n, f32x4.splat(2.12194440054690583e-4), coarse)
  let p = madd(f32x4.splat(0.001381459878757596), r, f32x4.splat(0.008368716575205326))
  p = madd(p, r, f32x4.splat(0.04166838899254799))
  p = madd(p, r, f32x4.splat(0.1666652113199234))
  p = madd(p, r, f32x4.splat(0.4999999403953552))
  p = f32x4.add(madd(p, f32x4.mul(r, r), r), f32x4.splat(1))
  const y = i32x4.add(p, i32x4.shl(shifted, 23))
  return v128.andnot(y, f32x4.lt(x, low))
}

// @ts-ignore: decorator
@inline
export function expScalar(x: f32): f32 {
  return f32x4.extract_lane(expVector(f32x4.splat(x)), 0)
}

/** ln x, relative error below 2e-7 also near 1: x = m·2ᵉ, √½ ≤ m < √2, f = m − 1,
 *  ln x = e·ln 2 + f − ½f² + f³·p(f). ln 0 = −∞, NaN below 0, ∞ for ∞; subnormal x counts as 0. */
// @ts-ignore: decorator
@inline
export function logVector(x: v128): v128 {
  const root = i32x4.splat(0x3f3504f3)
  const above = i32x4.sub(x, root)
  const e = f32x4.convert_i32x4_s(i32x4.shr_s(above, 23))
  const m = i32x4.add(v128.and(above, i32x4.splat(0x007fffff)), root)
  const f = f32x4.sub(m, f32x4.splat(1))
  let p = madd(f32x4.splat(0.06746640056371689), f, f32x4.splat(-0.11675652116537094))
  p = madd(p, f, f32x4.splat(0.11888162046670914))
  p = madd(p, f, f32x4.splat(-0.1240558922290802))
  p = madd(p, f, f32x4.splat(0.14219552278518677))
  p = madd(p, f, f32x4.splat(-0.1666799634695053))
  p = madd(p, f, f32x4.splat(0.2000211924314499))
  p = madd(p, f, f32x4.splat(-0.25000008940696716))
  p = madd(p, f, f32x4.splat(0.3333331346511841))
  const square = f32x4.mul(f, f)
  const rest = f32x4.mul(e, f32x4.splat(-2.12194440054690583e-4))
  const small = madd(square, madd(p, f, f32x4.splat(-0.5)), rest)
  const y = madd(e, f32x4.splat(0.693359375), f32x4.add(f, small))
  const zero = f32x4.lt(f32x4.abs(x), f32x4.splat(1.1754943508222875e-38))
  const endless = f32x4.eq(x, f32x4.splat(Infinity))
  const edges = v128.bitselect(f32x4.splat(-Infinity), v128.bitselect(x, y, endless), zero)
  const refused = v128.andnot(f32x4.ne(x, v128.and(x, f32x4.ge(x, f32x4.splat(0)))), zero)
  return v128.or(edges, refused)
}

// @ts-ignore: decorator
@inline
export function logScalar(x: f32): f32 {
  return f32x4.extract_lane(logVector(f32x4.splat(x)), 0)
}

/** In memory, not in the code: V8 makes constants anew in every round, and does not pair them. */
const erfcTerms = memory.data<f32>([
  0.1514756612056414, -0.7160840993737141, 1.238627831895468, -0.8035774862746476, 0.006876633130747042,
  -0.044047778429565955, 0.04963015351153581, 0.3835867218245693, 0.9989767367966398, -1.2654643221344957,
])

/** erfc(x) = 1 − erf(x), relative error below 3e-6 from −∞ to 5, absolute below 4e-7: for z = |x| and
 *  t = 1/(1 + ½z), t·e^(p(t) − z²), and below 0 what is left of 2. */
// @ts-ignore: decorator
@inline
export function erfcVector(x: v128): v128 {
  const z = f32x4.abs(x)
  const one = f32x4.splat(1)
  const t = f32x4.div(one, madd(z, f32x4.splat(0.5), one))
  let p = madd(v128.load32_splat(erfcTerms, 0), t, v128.load32_splat(erfcTerms, 4))
  p = madd(p, t, v128.load32_splat(erfcTerms, 8))
  p = madd(p, t, v128.load32_splat(erfcTerms, 12))
  p = madd(p, t, v128.load32_splat(erfcTerms, 16))
  p = madd(p, t, v128.load32_splat(erfcTerms, 20))
  p = madd(p, t, v128.load32_splat(erfcTerms, 24))
  p = madd(p, t, v128.load32_splat(erfcTerms, 28))
  p = madd(p, t, v128.load32_splat(erfcTerms, 32))
  p = madd(p, t, v128.load32_splat(erfcTerms, 36))
  const y = f32x4.mul(t, expVector(f32x4.sub(p, f32x4.mul(z, z))))
  return v128.bitselect(f32x4.sub(f32x4.splat(2), y), y, f32x4.lt(x, f32x4.splat(0)))
}

/** (a₀ + a₂) + (a₁ + a₃) */
// @ts-ignore: decorator
@inline
export function sumLanes(a: v128): f32 {
  const pairs = f32x4.add(a, v128.shuffle<i32>(a, a, 2, 3, 0, 1))
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1)
}

/** The largest lane; NaN if there is one. */
// @ts-ignore: decorator
@inline
export function maxLanes(a: v128): f32 {
  const pairs = f32x4.max(a, v128.shuffle<i32>(a, a, 2, 3, 0, 1))
  return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1))
}
