// Two to four rows times one panel of q4 as it lies, in whole numbers: for so few rows that laying the panel
// out (quantized_tile.as.ts) does not pay. Sums of a block fill the registers, those in f32 are kept in memory.
// A row's products are those of quantized_row.as.ts to the bit.
import { isWide, q4Bytes, scalesOf, upper, wideQ4Bytes } from "./quantized_block.as"
import { dot7, scaled } from "./quantized_dot.as"
import { isFirstInPage, lookAhead } from "../shared/stream.as"

/** In memory, not in the code: V8 makes constants anew in every round, and does not pair them. */
const masks = memory.data<u32>([0x0f0f0f0f])

/** c (rows, 16) += a tile of rows (quantized_round.as.ts) · w, `blocks` blocks of Z bytes; rows of c lie
 *  `stride` bytes apart. `until`: of all weights that are about to be read (stream.as.ts); four bytes at
 *  `spare` are overwritten. */
export function tileAsItLies(
  rows: u32, a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, Z: u32,
  spare: usize,
): void {
  if (isWide(Z)) {
    if (rows === 4) wide4(a, w, until, c, stride, blocks, spare)
    else if (rows === 3) wide3(a, w, until, c, stride, blocks, spare)
    else wide2(a, w, until, c, stride, blocks, spare)
  } else if (rows === 4) few4(a, w, until, c, stride, blocks, spare)
  else if (rows === 3) few3(a, w, until, c, stride, blocks, spare)
  else few2(a, w, until, c, stride, blocks, spare)
}

function few2(
  a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, spare: usize,
): void {
  tile(2, false, a, w, until, c, stride, blocks, spare)
}
function few3(
  a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, spare: usize,
): void {
  tile(3, false, a, w, until, c, stride, blocks, spare)
}
function few4(
  a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, spare: usize,
): void {
  tile(4, false, a, w, until, c, stride, blocks, spare)
}
function wide2(
  a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, spare: usize,
): void {
  tile(2, true, a, w, until, c, stride, blocks, spare)
}
function wide3(
  a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, spare: usize,
): void {
  tile(3, true, a, w, until, c, stride, blocks, spare)
}
function wide4(
  a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32, spare: usize,
): void {
  tile(4, true, a, w, until, c, stride, blocks, spare)
}

// `rows` 2 … 4 and `wide` are constants where this is inlined: dead branches fall away.
// @ts-ignore: decorator
@inline
function tile(
  rows: u32, wide: bool, a: usize, w: usize, until: usize, c: usize, stride: usize, blocks: u32,
  spare: usize,
): void {
  const Z = wide ? wideQ4Bytes : q4Bytes
  const step = <usize>rows * 4
  const r1 = c + stride, r2 = r1 + stride, r3 = r2 + stride
  const mask = v128.load32_splat(masks)
  for (const end = w + <usize>blocks * Z; w < end; w += wide ? 64 : 32, a += 9 * step) {
    if (isFirstInPage(w, Z)) lookAhead(w, until, spare)
    const start = a + 9 * step
    let i00 = v128.load(start), i01 = v128.load(start, 16), i02 = i00, i03 = i01
    let i10 = v128.load(start, 32), i11 = v128.load(start, 48), i12 = i10, i13 = i11
    let i20 = i00, i21 = i01, i22 = i00, i23 = i01, i30 = i00, i31 = i01, i32 = i00, i33 = i01
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
      x = v128.load32_splat(a, 4)
      i10 = dot7(i10, v0, x); i11 = dot7(i11, v1, x)
      i12 = dot7(i12, v2, x); i13 = dot7(i13, v3, x)
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
      v0 = upper(u0, mask); v1 = upper(u1, mask); v2 = upper(u2, mask); v3 = upper(u3, mask)
      x = v128.load32_splat(b)
      i00 = dot7(i00, v0, x); i01 = dot7(i01, v1, x)
      i02 = dot7(i02, v2, x); i03 = dot7(i03, v3, x)
      x = v128.load32_splat(b, 4)
      i10 = dot7(i10, v0, x); i11 = dot7(i11, v1, x)
      i12 = dot7(i12, v2, x); i13 = dot7(i13, v3, x)
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
    let s0: v128, s1: v128, s2: v128, s3: v128
    if (wide) {
      s0 = v128.load(w); s1 = v128.load(w, 16); s2 = v128.load(w, 32); s3 = v128.load(w, 48)
    } else {
      // Used by all rows, loads that extend would be paired from the address of the second.
      const low = v128.load(w), high = v128.load(w, 16)
      s0 = scalesOf(i32x4.extend_low_i16x8_u(low)); s1 = scalesOf(i32x4.extend_high_i16x8_u(low))
      s2 = scalesOf(i32x4.extend_low_i16x8_u(high)); s3 = scalesOf(i32x4.extend_high_i16x8_u(high))
    }
    add16(c, v128.load32_splat(a), i00, i01, i02, i03, s0, s1, s2, s3)
    add16(r1, v128.load32_splat(a, 4), i10, i11, i12, i13, s0, s1, s2, s3)
    if (rows > 2) add16(r2, v128.load32_splat(a, 8), i20, i21, i22, i23, s0, s1, s2, s3)
    if (rows > 3) add16(r3, v128.load32_splat(a, 12), i30, i31, i32, i33, s0, s1, s2, s3)
  }
}

/** c (16) += whole numbers · their scales · t. */
// @ts-ignore: decorator
@inline
function add16(
  c: usize, t: v128, i0: v128, i1: v128, i2: v128, i3: v128, s0: v128, s1: v128, s2: v128, s3: v128,
): void {
  const f0 = scaled(i0, s0, t, v128.load(c)), f1 = scaled(i1, s1, t, v128.load(c, 16))
  const f2 = scaled(i2, s2, t, v128.load(c, 32)), f3 = scaled(i3, s3, t, v128.load(c, 48))
  v128.store(c, f0); v128.store(c, f1, 16); v128.store(c, f2, 32); v128.store(c, f3, 48)
}
