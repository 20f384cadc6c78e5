// 2ˣ in f32 for loops that have it in their innermost part, four lanes at a time. Its constants are
// loaded once before the loop and kept in locals: V8 makes constants of the code anew in every
// round, and does not fuse them into 256-bit registers.
import { madd } from "./simd.as"

/** Least x, 1.5·2²³, and 2ʳ for |r| ≤ ½ from the coefficient of r⁵ down to 1, fitted for the least
 *  relative error (9.2e-8). */
const constants = memory.data<f32>([
  -126, 12582912, 0.0013264723935216632, 0.009671512869570936, 0.055507337541149865,
  0.2402224208036284, 0.6931469775915766, 1,
], 16)

/** Constant i in all lanes. */
// @ts-ignore: decorator
@inline
export function exp2Constant(i: u32): v128 { return v128.load32_splat(constants + i * 4) }

/** 2ˣ, relative error below 2e-7; 0 below −126, wrong from 128 on. x = n + r with |r| ≤ ½; the rest
 *  are the constants in their order. NaN in, NaN out. */
// @ts-ignore: decorator
@inline
export function exp2Vector(
  x: v128, least: v128, magic: v128, p5: v128, p4: v128, p3: v128, p2: v128, p1: v128, one: v128,
): v128 {
  // Adding 1.5·2²³ leaves n in the low bits of the sum, rounded to nearest.
  const shifted = f32x4.add(x, magic)
  const r = f32x4.sub(x, f32x4.sub(shifted, magic))
  let p = madd(p5, r, p4)
  p = madd(p, r, p3)
  p = madd(p, r, p2)
  p = madd(p, r, p1)
  p = madd(p, r, one)
  const y = i32x4.add(p, i32x4.shl(shifted, 23))
  return v128.andnot(y, f32x4.lt(x, least))
}
