// The relaxed dot product of bytes, and what this machine makes of it. Its second operand has 7 bits
// by the standard; what the eighth one means differs: without sign on x86 with VNNI, with it on ARM,
// and neither where sums of two products are cut to 16 bits. A probe tells.
import { madd } from "../shared/simd.as"

/** The dot cannot be relied on at all. */
const none: u32 = 0
/** Operands of 7 bits only. */
const seven: u32 = 1
/** The second operand is 0 … 255. */
const unsigned: u32 = 2
/** The second operand is −128 … 127. */
const signed: u32 = 3

/** Of this thread. */
let kind: u32 = none

/** Chooses what this thread takes the dot to be, as `probeDot` found. */
export function setDot(found: u32): void {
  kind = found
}

/** sum + x · w in fours: x −128 … 127, w 0 … 127 or as the machine has it. */
// @ts-ignore: decorator
@inline
export function dot7(sum: v128, w: v128, x: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(x, w, sum)
  return unreachable()
}

/** sum + products of numbers k, k + 1 of 16 bits with those of four outputs. */
// @ts-ignore: decorator
@inline
export function dot16(sum: v128, w: v128, x: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(w, x))
}

/** sum + integers · both scales. */
// @ts-ignore: decorator
@inline
export function scaled(integers: v128, scales: v128, scale: v128, sum: v128): v128 {
  return madd(f32x4.convert_i32x4_s(integers), f32x4.mul(scales, scale), sum)
}

/** Whether numbers of 7 bits can be multiplied. */
// @ts-ignore: decorator
@inline
export function hasDot(): bool {
  return ASC_FEATURE_RELAXED_SIMD && kind !== none
}

/** Whether numbers of 8 bits can be multiplied. */
// @ts-ignore: decorator
@inline
export function hasByteDot(): bool {
  return ASC_FEATURE_RELAXED_SIMD && kind >= unsigned
}

/** What signed bytes w are raised by to be the second operand. */
// @ts-ignore: decorator
@inline
export function byteOffset(): i32 {
  return kind === unsigned ? 128 : 0
}

/** Sixteen numbers x, then as many w, whose products two by two leave 16 bits; in memory, so that
 *  nothing is computed beforehand. */
const probe = memory.data<i8>([
  127, 127, 127, 127, -128, -128, -128, -128, -127, 127, -1, 1, 127, 127, -128, 1,
  -1, -1, -1, -1, -1, -1, -1, -1, -128, -1, 127, 1, -128, -128, -1, -128,
])

/** Which kind of dot this machine has: `none` where its build has no relaxed one. */
export function probeDot(): u32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return none
  const room = memory.data(16, 16)
  v128.store(room, dot7(i32x4.splat(0), v128.load(probe, 16), v128.load(probe)))
  let isUnsigned = true, isSigned = true
  for (let lane: usize = 0; lane < 16; lane += 4) {
    let minus: i32 = 0, plus: i32 = 0
    for (let i = lane; i < lane + 4; i++) {
      minus += <i32>load<i8>(probe + i) * <i32>load<i8>(probe + i, 16)
      plus += <i32>load<i8>(probe + i) * <i32>load<u8>(probe + i, 16)
    }
    const got = load<i32>(room + lane)
    isSigned = isSigned && got === minus
    isUnsigned = isUnsigned && got === plus
  }
  if (isUnsigned) return unsigned
  return isSigned ? signed : seven
}
