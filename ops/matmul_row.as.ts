// One row times one panel, c[0…16) += Σ_k x[k]·w[k], reading the panel's bytes once, front to back,
// as they are stored: what decode does all day. f16 and bf16 are widened in pairs by shift and mask;
// even and odd outputs have accumulators of their own and are brought into order at the end.
// f16: the shifted bits stand for w·2^-112, so that x comes as x·2^56 and the sum leaves as ·2^56.
import { madd } from "./simd.as"

/** Factor that x carries into rowProduct for a weight dtype. */
// @ts-ignore: decorator
@inline
export function rowScale(dtype: u32): f32 {
  return dtype === 1 ? 72057594037927936.0 : 1.0
}

/** x (k), times rowScale, · w (k, 16) of a dtype, added to c (16). */
export function rowProduct(x: usize, w: usize, c: usize, k: u32, dtype: u32): void {
  if (dtype === 0) rowF32(x, w, c, k)
  else if (dtype === 1) rowF16(x, w, c, k)
  else rowBf16(x, w, c, k)
}

function rowF32(x: usize, w: usize, c: usize, k: u32): void {
  const end = x + <usize>k * 4
  let a0 = v128.load(c), a1 = v128.load(c, 16), a2 = v128.load(c, 32), a3 = v128.load(c, 48)
  let b0 = f32x4.splat(0), b1 = b0, b2 = b0, b3 = b0
  if (k & 1) {
    const s = v128.load32_splat(x)
    b0 = f32x4.mul(s, v128.load(w)); b1 = f32x4.mul(s, v128.load(w, 16))
    b2 = f32x4.mul(s, v128.load(w, 32)); b3 = f32x4.mul(s, v128.load(w, 48))
    x += 4
    w += 64
  }
  while (x < end) {
    const s = v128.load32_splat(x), t = v128.load32_splat(x, 4)
    a0 = madd(s, v128.load(w), a0); a1 = madd(s, v128.load(w, 16), a1)
    a2 = madd(s, v128.load(w, 32), a2); a3 = madd(s, v128.load(w, 48), a3)
    b0 = madd(t, v128.load(w, 64), b0); b1 = madd(t, v128.load(w, 80), b1)
    b2 = madd(t, v128.load(w, 96), b2); b3 = madd(t, v128.load(w, 112), b3)
    x += 8
    w += 128
  }
  v128.store(c, f32x4.add(a0, b0)); v128.store(c, f32x4.add(a1, b1), 16)
  v128.store(c, f32x4.add(a2, b2), 32); v128.store(c, f32x4.add(a3, b3), 48)
}

/** Adds even and odd outputs of a panel, eight each, to c in their order, times `scale`. */
// @ts-ignore: decorator
@inline
function addInterleaved(c: usize, e0: v128, o0: v128, e1: v128, o1: v128, scale: v128): void {
  v128.store(c, madd(v128.shuffle<f32>(e0, o0, 0, 4, 1, 5), scale, v128.load(c)))
  v128.store(c, madd(v128.shuffle<f32>(e0, o0, 2, 6, 3, 7), scale, v128.load(c, 16)), 16)
  v128.store(c, madd(v128.shuffle<f32>(e1, o1, 0, 4, 1, 5), scale, v128.load(c, 32)), 32)
  v128.store(c, madd(v128.shuffle<f32>(e1, o1, 2, 6, 3, 7), scale, v128.load(c, 48)), 48)
}

function rowBf16(x: usize, w: usize, c: usize, k: u32): void {
  const end = x + <usize>k * 4
  const high = i32x4.splat(0xffff0000)
  const zero = f32x4.splat(0)
  let e0 = zero, o0 = zero, e1 = zero, o1 = zero, e2 = zero, o2 = zero, e3 = zero, o3 = zero
  if (k & 1) {
    const s = v128.load32_splat(x), u = v128.load(w), v = v128.load(w, 16)
    e0 = f32x4.mul(s, i32x4.shl(u, 16)); o0 = f32x4.mul(s, v128.and(u, high))
    e1 = f32x4.mul(s, i32x4.shl(v, 16)); o1 = f32x4.mul(s, v128.and(v, high))
    x += 4
    w += 32
  }
  while (x < end) {
    const s = v128.load32_splat(x), u = v128.load(w), v = v128.load(w, 16)
    e0 = madd(s, i32x4.shl(u, 16), e0); o0 = madd(s, v128.and(u, high), o0)
    e1 = madd(s, i32x4.shl(v, 16), e1); o1 = madd(s, v128.and(v, high), o1)
    const t = v128.load32_splat(x, 4), p = v128.load(w, 32), q = v128.load(w, 48)
    e2 = madd(t, i32x4.shl(p, 16), e2); o2 = madd(t, v128.and(p, high), o2)
    e3 = madd(t, i32x4.shl(q, 16), e3); o3 = madd(t, v128.and(q, high), o3)
    x += 8
    w += 64
  }
  e0 = f32x4.add(e0, e2); o0 = f32x4.add(o0, o2)
  e1 = f32x4.add(e1, e3); o1 = f32x4.add(o1, o3)
  addInterleaved(c, e0, o0, e1, o1, f32x4.splat(1))
}

/** The odd (upper) f16 of each lane as f32·2^-112: the sign is shifted in and masked to one bit. */
// @ts-ignore: decorator
@inline
function odd(u: v128, mask: v128): v128 {
  return v128.and(i32x4.shr_s(u, 3), mask)
}

// @ts-ignore: decorator
@inline
function even(u: v128, mask: v128): v128 {
  return odd(i32x4.shl(u, 16), mask)
}

function rowF16(x: usize, w: usize, c: usize, k: u32): void {
  const end = x + <usize>k * 4
  const mask = i32x4.splat(0x8fffe000)
  const zero = f32x4.splat(0)
  let e0 = zero, o0 = zero, e1 = zero, o1 = zero, e2 = zero, o2 = zero, e3 = zero, o3 = zero
  if (k & 1) {
    const s = v128.load32_splat(x), u = v128.load(w), v = v128.load(w, 16)
    e0 = f32x4.mul(s, even(u, mask)); o0 = f32x4.mul(s, odd(u, mask))
    e1 = f32x4.mul(s, even(v, mask)); o1 = f32x4.mul(s, odd(v, mask))
    x += 4
    w += 32
  }
  while (x < end) {
    const s = v128.load32_splat(x), u = v128.load(w), v = v128.load(w, 16)
    e0 = madd(s, even(u, mask), e0); o0 = madd(s, odd(u, mask), o0)
    e1 = madd(s, even(v, mask), e1); o1 = madd(s, odd(v, mask), o1)
    const t = v128.load32_splat(x, 4), p = v128.load(w, 32), q = v128.load(w, 48)
    e2 = madd(t, even(p, mask), e2); o2 = madd(t, odd(p, mask), o2)
    e3 = madd(t, even(q, mask), e3); o3 = madd(t, odd(q, mask), o3)
    x += 8
    w += 64
  }
  e0 = f32x4.add(e0, e2); o0 = f32x4.add(o0, o2)
  e1 = f32x4.add(e1, e3); o1 = f32x4.add(o1, o3)
  addInterleaved(c, e0, o0, e1, o1, f32x4.splat(72057594037927936.0))
}
