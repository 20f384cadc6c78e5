// f16 and bf16 ↔ f32, to nearest with ties to even, subnormals, infinities and NaN included: the
// same bits as engine/dtype.ts. Four numbers at a time; the scalar forms are lane 0 of these.

/** f32 of four f16 in the low halves of i32 lanes. */
// @ts-ignore: decorator
@inline
export function fromF16(h: v128): v128 {
  const magnitude = i32x4.shl(v128.and(h, i32x4.splat(0x7fff)), 13)
  const special = i32x4.gt_s(v128.and(h, i32x4.splat(0x7fff)), i32x4.splat(0x7bff))
  // The exponent is 112 too small: a multiplication mends subnormals as well; 31 means infinity.
  const scaled = f32x4.mul(magnitude, f32x4.splat(5192296858534827628530496329220096.0))
  const finite = v128.or(scaled, v128.and(special, i32x4.splat(0x7f800000)))
  return v128.or(finite, i32x4.shl(i32x4.shr_u(h, 15), 31))
}

/** f32 of four bf16 in the low halves of i32 lanes. */
// @ts-ignore: decorator
@inline
export function fromBf16(h: v128): v128 {
  return i32x4.shl(h, 16)
}

/** Bits of the nearest f16 in the low halves of i32 lanes. */
// @ts-ignore: decorator
@inline
export function toF16(x: v128): v128 {
  const a = v128.and(x, i32x4.splat(0x7fffffff))
  const odd = v128.and(i32x4.shr_u(a, 13), i32x4.splat(1))
  const rounded = i32x4.add(i32x4.add(a, i32x4.splat(0xfff)), odd)
  const normal = i32x4.shr_u(i32x4.sub(rounded, i32x4.splat(0x38000000)), 13)
  // One unit in the last place of 0.5 is the smallest f16: the addition rounds to subnormals.
  const half = f32x4.splat(0.5)
  const subnormal = i32x4.sub(f32x4.add(a, half), half)
  const small = v128.bitselect(subnormal, normal, i32x4.lt_s(a, i32x4.splat(0x38800000)))
  const huge = i32x4.gt_s(a, i32x4.splat(0x477fefff))
  const finite = v128.bitselect(i32x4.splat(0x7c00), small, huge)
  const nan = v128.and(i32x4.gt_s(a, i32x4.splat(0x7f800000)), i32x4.splat(0x0200))
  return v128.or(v128.or(finite, nan), i32x4.shl(i32x4.shr_u(x, 31), 15))
}

/** Bits of the nearest bf16 in the low halves of i32 lanes. */
// @ts-ignore: decorator
@inline
export function toBf16(x: v128): v128 {
  const top = i32x4.shr_u(x, 16)
  const odd = v128.and(top, i32x4.splat(1))
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(x, i32x4.splat(0x7fff)), odd), 16)
  const nan = f32x4.ne(x, x)
  return v128.bitselect(v128.or(top, i32x4.splat(0x40)), rounded, nan)
}

/** Bytes of one number of a dtype: f32 0, f16 1, bf16 2, i32 3. */
// @ts-ignore: decorator
@inline
export function itemBytes(dtype: u32): usize {
  return dtype === 1 || dtype === 2 ? 2 : 4
}

/** Four numbers of a float dtype at p as f32. */
// @ts-ignore: decorator
@inline
export function loadFour(p: usize, dtype: u32): v128 {
  if (dtype === 0) return v128.load(p)
  const h = v128.load16x4_u(p)
  return dtype === 1 ? fromF16(h) : fromBf16(h)
}

/** Bits of four f32 as a float dtype, each in an i32 lane. */
// @ts-ignore: decorator
@inline
export function toBits(x: v128, dtype: u32): v128 {
  if (dtype === 0) return x
  return dtype === 1 ? toF16(x) : toBf16(x)
}

/** Stores what toBits returned. */
// @ts-ignore: decorator
@inline
export function storeBits(p: usize, bits: v128, dtype: u32): void {
  if (dtype === 0) v128.store(p, bits)
  else v128.store64_lane(p, i16x8.narrow_i32x4_u(bits, bits), 0)
}

/** Four f32 into a float dtype at p. */
// @ts-ignore: decorator
@inline
export function storeFour(p: usize, x: v128, dtype: u32): void {
  storeBits(p, toBits(x, dtype), dtype)
}

/** One number of a float dtype at p as f32. */
// @ts-ignore: decorator
@inline
export function loadOne(p: usize, dtype: u32): f32 {
  if (dtype === 0) return load<f32>(p)
  const h = i32x4.splat(load<u16>(p))
  return f32x4.extract_lane(dtype === 1 ? fromF16(h) : fromBf16(h), 0)
}

/** One f32 into a float dtype at p. */
// @ts-ignore: decorator
@inline
export function storeOne(p: usize, x: f32, dtype: u32): void {
  if (dtype === 0) store<f32>(p, x)
  else store<u16>(p, <u16>i32x4.extract_lane(toBits(f32x4.splat(x), dtype), 0))
}
