// Up to four rows times one panel of q4 as it lies, in whole numbers: for so few rows that laying the
// panel out (quantized_tile.as.ts) would not pay. The sums in f32 are kept in memory.
import { q4Bytes } from "./quantized_block.as"
import { dot7 } from "./quantized_dot.as"
import { madd } from "../shared/simd.as"
import { isFirstInPage, lookAhead } from "../shared/stream.as"

/** In memory, not in the code: V8 makes constants anew in every round, and does not pair them. */
const masks = memory.data<u32>([0x0f0f0f0f])

/** sum + integers · both scales. */
// @ts-ignore: decorator
@inline
function scaled(integers: v128, scales: v128, scale: v128, sum: v128): v128 {
  return madd(f32x4.convert_i32x4_s(integers), f32x4.mul(scales, scale), sum)
}

/** c (rows, 16) += a tile of rows (quantized_round.as.ts) · w, `blocks` blocks; rows of c lie `stride` bytes
 *  apart. `until`: of all weights that are about to be read (stream.as.ts); four bytes at `spare` are
 *  overwritten. */
export function fewRows(
  rows: u32, a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, spare: usize,
): void {
  if (rows === 4) few4(a, w, until, c, stride, blocks, spare)
  else if (rows === 3) few3(a, w, until, c, stride, blocks, spare)
  else if (rows === 2) few2(a, w, until, c, stride, blocks, spare)
  else few1(a, w, until, c, stride, blocks, spare)
}
function few1(
  a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, spare: usize,
): void {
  tile(1, a, w, until, c, stride, blocks, spare)
}
function few2(
  a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, spare: usize,
): void {
  tile(2, a, w, until, c, stride, blocks, spare)
}
function few3(
  a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, spare: usize,
): void {
  tile(3, a, w, until, c, stride, blocks, spare)
}
function few4(
  a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, spare: usize,
): void {
  tile(4, a, w, until, c, stride, blocks, spare)
}

// `rows` 1 … 4 is a constant where this is inlined: dead branches fall away.
// @ts-ignore: decorator
@inline
function tile(
  rows: u32, a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, spare: usize,
): void {
  const step = <usize>rows * 4
  const mask = v128.load32_splat(masks)
  for (const end = w + <usize>blocks * q4Bytes; w < end; w += 32) {
    if (isFirstInPage(w, q4Bytes)) lookAhead(w, until, spare)
    const start = a + 9 * step
    let i00 = v128.load(start), i01 = v128.load(start, 16), i02 = i00, i03 = i01
    let i10 = i00, i11 = i01, i12 = i00, i13 = i01, i20 = i00, i21 = i01, i22 = i00, i23 = i01
    let i30 = i00, i31 = i01, i32 = i00, i33 = i01
    if (rows > 1) {
      i10 = v128.load(start, 32); i11 = v128.load(start, 48); i12 = i10; i13 = i11
    }
    if (rows > 2) {
      i20 = v128.load(start, 64); i21 = v128.load(start, 80); i22 = i20; i23 = i21
    }
    if (rows > 3) {
      i30 = v128.load(start, 96); i31 = v128.load(start, 112); i32 = i30; i33 = i31
    }
    for (const last = w + 256; w < last; w += 64, a += 2 * step) {
      const u0 = v128.load(w), u1 = v128.load(w, 16), u2 = v128.load(w, 32), u3 = v128.load(w, 48)
      let v0 = v128.and(u0, mask), v1 = v128.and(u1, mask)
      let v2 = v128.and(u2, mask), v3 = v128.and(u3, mask)
      let x = v128.load32_splat(a)
      i00 = dot7(i00, v0, x); i01 = dot7(i01, v1, x)
      i02 = dot7(i02, v2, x); i03 = dot7(i03, v3, x)
      if (rows > 1) {
        x = v128.load32_splat(a, 4)
        i10 = dot7(i10, v0, x); i11 = dot7(i11, v1, x)
        i12 = dot7(i12, v2, x); i13 = dot7(i13, v3, x)
      }
      if (rows > 2) {
        x = v128.load32_splat(a, 8)
        i20 = dot7(i20, v0, x); i21 = dot7(i21, v1, x)
        i22 = dot7(i22, v2, x); i23 = dot7(i23, v3, x)
      }
      if (rows > 3) {
        x = v128.load32_splat(a, 12)
        i30 = dot7(i30, v0, x); i31 = dot7(i31, v1, x)
        i32 = dot7(i32, v2, x); i33 = dot7(i33, v3, x)
      }
      const b = a + step
      v0 = v128.and(i32x4.shr_u(u0, 4), mask); v1 = v128.and(i32x4.shr_u(u1, 4), mask)
      v2 = v128.and(i32x4.shr_u(u2, 4), mask); v3 = v128.and(i32x4.shr_u(u3, 4), mask)
      x = v128.load32_splat(b)
      i00 = dot7(i00, v0, x); i01 = dot7(i01, v1, x)
      i02 = dot7(i02, v2, x); i03 = dot7(i03, v3, x)
      if (rows > 1) {
        x = v128.load32_splat(b, 4)
        i10 = dot7(i10, v0, x); i11 = dot7(i11, v1, x)
        i12 = dot7(i12, v2, x); i13 = dot7(i13, v3, x)
      }
      if (rows > 2) {
        x = v128.load32_splat(b, 8)
        i20 = dot7(i20, v0, x); i21 = dot7(i21, v1, x)
        i22 = dot7(i22, v2, x); i23 = dot7(i23, v3, x)
      }
      if (rows > 3) {
        x = v128.load32_splat(b, 12)
        i30 = dot7(i30, v0, x); i31 = dot7(i31, v1, x)
        i32 = dot7(i32, v2, x); i33 = dot7(i33, v3, x)
      }
    }
    const s0 = i32x4.shl(v128.load16x4_u(w), 16), s1 = i32x4.shl(v128.load16x4_u(w, 8), 16)
    const s2 = i32x4.shl(v128.load16x4_u(w, 16), 16), s3 = i32x4.shl(v128.load16x4_u(w, 24), 16)
    let to = c
    const t0 = v128.load32_splat(a, 0)
    const f00 = scaled(i00, s0, t0, v128.load(to, 0))
    const f01 = scaled(i01, s1, t0, v128.load(to, 16))
    const f02 = scaled(i02, s2, t0, v128.load(to, 32))
    const f03 = scaled(i03, s3, t0, v128.load(to, 48))
    v128.store(to, f00, 0)
    v128.store(to, f01, 16)
    v128.store(to, f02, 32)
    v128.store(to, f03, 48)
    if (rows > 1) {
      to += stride
      const t1 = v128.load32_splat(a, 4)
      const f10 = scaled(i10, s0, t1, v128.load(to, 0))
      const f11 = scaled(i11, s1, t1, v128.load(to, 16))
      const f12 = scaled(i12, s2, t1, v128.load(to, 32))
      const f13 = scaled(i13, s3, t1, v128.load(to, 48))
      v128.store(to, f10, 0)
      v128.store(to, f11, 16)
      v128.store(to, f12, 32)
      v128.store(to, f13, 48)
    }
    if (rows > 2) {
      to += stride
      const t2 = v128.load32_splat(a, 8)
      const f20 = scaled(i20, s0, t2, v128.load(to, 0))
      const f21 = scaled(i21, s1, t2, v128.load(to, 16))
      const f22 = scaled(i22, s2, t2, v128.load(to, 32))
      const f23 = scaled(i23, s3, t2, v128.load(to, 48))
      v128.store(to, f20, 0)
      v128.store(to, f21, 16)
      v128.store(to, f22, 32)
      v128.store(to, f23, 48)
    }
    if (rows > 3) {
      to += stride
      const t3 = v128.load32_splat(a, 12)
      const f30 = scaled(i30, s0, t3, v128.load(to, 0))
      const f31 = scaled(i31, s1, t3, v128.load(to, 16))
      const f32 = scaled(i32, s2, t3, v128.load(to, 32))
      const f33 = scaled(i33, s3, t3, v128.load(to, 48))
      v128.store(to, f30, 0)
      v128.store(to, f31, 16)
      v128.store(to, f32, 32)
      v128.store(to, f33, 48)
    }
    a += 9 * step
  }
}
