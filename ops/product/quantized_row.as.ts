// One row times two panels of quantized weights, reading their bytes once, front to back, those of q8 in
// turns of a block, so that more lines of memory are on their way: what decode does all day. The row is
// rounded to whole numbers with one scale for 32 neighbours (quantized_round.as.ts), so that a block is
// integer multiply-adds and one multiplication of its 16 sums by both scales. The sums over the blocks
// come from memory and go back to it in adjacent pairs: V8 can fuse those.
// q4 uses the dot product of 8-bit numbers by 7-bit ones where the build has it: the half bytes 0 …
// 15 are the 7-bit numbers, the sum starts at −8·Σx. Elsewhere 16-bit ones give the same integers.
import {
  isBytes, isWide, q4Bytes, q8Bytes, scalesOf, upper, wideQ4Bytes, wideQ8Bytes,
} from "./quantized_block.as"
import { dot16, dot7, hasDot, scaled } from "./quantized_dot.as"
import { isFirstInPage, lookAhead } from "../shared/stream.as"

/** In memory, not in the code: V8 makes constants anew in every round, and does not pair them. */
const masks = memory.data<u32>([0x0f0f0f0f, 0x000f000f])

/** c (32) += the row of records at a · panels (blocks, Z) at w and z; of one panel alone z is w too.
 *  `until`: of all weights that are about to be read (stream.as.ts); up to four bytes 128 and 192 behind c
 *  are overwritten. */
export function roundedProduct(
  a: usize, w: usize, z: usize, until: usize, c: usize, blocks: u32, Z: u32,
): void {
  if (isBytes(Z)) {
    if (isWide(Z)) row8Wide(a, w, z, until, c, blocks)
    else row8(a, w, z, until, c, blocks)
    return
  }
  onePanel4(a, w, until, c, blocks, Z)
  if (z !== w) onePanel4(a, z, until, c + 64, blocks, Z)
}

function row8(a: usize, w: usize, z: usize, until: usize, c: usize, blocks: u32): void {
  inTurns8(false, a, w, z, until, c, blocks)
}
function row8Wide(a: usize, w: usize, z: usize, until: usize, c: usize, blocks: u32): void {
  inTurns8(true, a, w, z, until, c, blocks)
}

// `wide`, scales in f32, is a constant where this is inlined: dead branches fall away. Each panel's turn is a
// loop of its own: V8 pairs less in one body of both.
// @ts-ignore: decorator
@inline
function inTurns8(
  wide: bool, a: usize, w: usize, z: usize, until: usize, c: usize, blocks: u32,
): void {
  const Z = wide ? wideQ8Bytes : q8Bytes
  for (let i: u32 = 0; i < blocks; i++) {
    bytesRow(wide, a, w, until, c, 1)
    bytesRow(wide, a, z, until, c + 64, 1)
    a += 72
    w += Z
    z += Z
  }
}

function onePanel4(a: usize, w: usize, until: usize, c: usize, blocks: u32, Z: u32): void {
  if (hasDot()) {
    if (isWide(Z)) row4Wide(a, w, until, c, blocks)
    else row4(a, w, until, c, blocks)
  } else if (isWide(Z)) row4ExactWide(a, w, until, c, blocks)
  else row4Exact(a, w, until, c, blocks)
}

function row4(a: usize, w: usize, until: usize, c: usize, blocks: u32): void {
  halvesRow(false, a, w, until, c, blocks)
}
function row4Wide(a: usize, w: usize, until: usize, c: usize, blocks: u32): void {
  halvesRow(true, a, w, until, c, blocks)
}
function row4Exact(a: usize, w: usize, until: usize, c: usize, blocks: u32): void {
  exactHalvesRow(false, a, w, until, c, blocks)
}
function row4ExactWide(a: usize, w: usize, until: usize, c: usize, blocks: u32): void {
  exactHalvesRow(true, a, w, until, c, blocks)
}

// Of one panel; `wide`: scales in f32.
// @ts-ignore: decorator
@inline
function bytesRow(wide: bool, a: usize, w: usize, until: usize, c: usize, blocks: u32): void {
  const Z = wide ? wideQ8Bytes : q8Bytes
  const end = w + <usize>blocks * Z
  let s0 = v128.load(c), s1 = v128.load(c, 16), s2 = v128.load(c, 32), s3 = v128.load(c, 48)
  while (w < end) {
    if (isFirstInPage(w, Z)) lookAhead(w, until, c + 128)
    let x = v128.load32_splat(a)
    let i0 = i32x4.dot_i16x8_s(v128.load8x8_s(w), x)
    let i1 = i32x4.dot_i16x8_s(v128.load8x8_s(w, 8), x)
    let i2 = i32x4.dot_i16x8_s(v128.load8x8_s(w, 16), x)
    let i3 = i32x4.dot_i16x8_s(v128.load8x8_s(w, 24), x)
    x = v128.load32_splat(a, 4)
    i0 = dot16(i0, v128.load8x8_s(w, 32), x); i1 = dot16(i1, v128.load8x8_s(w, 40), x)
    i2 = dot16(i2, v128.load8x8_s(w, 48), x); i3 = dot16(i3, v128.load8x8_s(w, 56), x)
    x = v128.load32_splat(a, 8)
    i0 = dot16(i0, v128.load8x8_s(w, 64), x); i1 = dot16(i1, v128.load8x8_s(w, 72), x)
    i2 = dot16(i2, v128.load8x8_s(w, 80), x); i3 = dot16(i3, v128.load8x8_s(w, 88), x)
    x = v128.load32_splat(a, 12)
    i0 = dot16(i0, v128.load8x8_s(w, 96), x); i1 = dot16(i1, v128.load8x8_s(w, 104), x)
    i2 = dot16(i2, v128.load8x8_s(w, 112), x); i3 = dot16(i3, v128.load8x8_s(w, 120), x)
    x = v128.load32_splat(a, 16)
    i0 = dot16(i0, v128.load8x8_s(w, 128), x); i1 = dot16(i1, v128.load8x8_s(w, 136), x)
    i2 = dot16(i2, v128.load8x8_s(w, 144), x); i3 = dot16(i3, v128.load8x8_s(w, 152), x)
    x = v128.load32_splat(a, 20)
    i0 = dot16(i0, v128.load8x8_s(w, 160), x); i1 = dot16(i1, v128.load8x8_s(w, 168), x)
    i2 = dot16(i2, v128.load8x8_s(w, 176), x); i3 = dot16(i3, v128.load8x8_s(w, 184), x)
    x = v128.load32_splat(a, 24)
    i0 = dot16(i0, v128.load8x8_s(w, 192), x); i1 = dot16(i1, v128.load8x8_s(w, 200), x)
    i2 = dot16(i2, v128.load8x8_s(w, 208), x); i3 = dot16(i3, v128.load8x8_s(w, 216), x)
    x = v128.load32_splat(a, 28)
    i0 = dot16(i0, v128.load8x8_s(w, 224), x); i1 = dot16(i1, v128.load8x8_s(w, 232), x)
    i2 = dot16(i2, v128.load8x8_s(w, 240), x); i3 = dot16(i3, v128.load8x8_s(w, 248), x)
    x = v128.load32_splat(a, 32)
    i0 = dot16(i0, v128.load8x8_s(w, 256), x); i1 = dot16(i1, v128.load8x8_s(w, 264), x)
    i2 = dot16(i2, v128.load8x8_s(w, 272), x); i3 = dot16(i3, v128.load8x8_s(w, 280), x)
    x = v128.load32_splat(a, 36)
    i0 = dot16(i0, v128.load8x8_s(w, 288), x); i1 = dot16(i1, v128.load8x8_s(w, 296), x)
    i2 = dot16(i2, v128.load8x8_s(w, 304), x); i3 = dot16(i3, v128.load8x8_s(w, 312), x)
    x = v128.load32_splat(a, 40)
    i0 = dot16(i0, v128.load8x8_s(w, 320), x); i1 = dot16(i1, v128.load8x8_s(w, 328), x)
    i2 = dot16(i2, v128.load8x8_s(w, 336), x); i3 = dot16(i3, v128.load8x8_s(w, 344), x)
    x = v128.load32_splat(a, 44)
    i0 = dot16(i0, v128.load8x8_s(w, 352), x); i1 = dot16(i1, v128.load8x8_s(w, 360), x)
    i2 = dot16(i2, v128.load8x8_s(w, 368), x); i3 = dot16(i3, v128.load8x8_s(w, 376), x)
    x = v128.load32_splat(a, 48)
    i0 = dot16(i0, v128.load8x8_s(w, 384), x); i1 = dot16(i1, v128.load8x8_s(w, 392), x)
    i2 = dot16(i2, v128.load8x8_s(w, 400), x); i3 = dot16(i3, v128.load8x8_s(w, 408), x)
    x = v128.load32_splat(a, 52)
    i0 = dot16(i0, v128.load8x8_s(w, 416), x); i1 = dot16(i1, v128.load8x8_s(w, 424), x)
    i2 = dot16(i2, v128.load8x8_s(w, 432), x); i3 = dot16(i3, v128.load8x8_s(w, 440), x)
    x = v128.load32_splat(a, 56)
    i0 = dot16(i0, v128.load8x8_s(w, 448), x); i1 = dot16(i1, v128.load8x8_s(w, 456), x)
    i2 = dot16(i2, v128.load8x8_s(w, 464), x); i3 = dot16(i3, v128.load8x8_s(w, 472), x)
    x = v128.load32_splat(a, 60)
    i0 = dot16(i0, v128.load8x8_s(w, 480), x); i1 = dot16(i1, v128.load8x8_s(w, 488), x)
    i2 = dot16(i2, v128.load8x8_s(w, 496), x); i3 = dot16(i3, v128.load8x8_s(w, 504), x)
    const scale = v128.load32_splat(a, 64)
    s0 = scaled(i0, wide ? v128.load(w, 512) : scalesOf(v128.load16x4_u(w, 512)), scale, s0)
    s1 = scaled(i1, wide ? v128.load(w, 528) : scalesOf(v128.load16x4_u(w, 520)), scale, s1)
    s2 = scaled(i2, wide ? v128.load(w, 544) : scalesOf(v128.load16x4_u(w, 528)), scale, s2)
    s3 = scaled(i3, wide ? v128.load(w, 560) : scalesOf(v128.load16x4_u(w, 536)), scale, s3)
    a += 72
    w += Z
  }
  v128.store(c, s0); v128.store(c, s1, 16); v128.store(c, s2, 32); v128.store(c, s3, 48)
}

// @ts-ignore: decorator
@inline
function halvesRow(wide: bool, a: usize, w: usize, until: usize, c: usize, blocks: u32): void {
  const Z = wide ? wideQ4Bytes : q4Bytes
  const end = w + <usize>blocks * Z
  const mask = v128.load32_splat(masks)
  let s0 = v128.load(c), s1 = v128.load(c, 16), s2 = v128.load(c, 32), s3 = v128.load(c, 48)
  while (w < end) {
    if (isFirstInPage(w, Z)) lookAhead(w, until, c + 128)
    const start = v128.load32_splat(a, 36)
    let i0 = start, i1 = start, i2 = start, i3 = start
    let x = v128.load32_splat(a), y = v128.load32_splat(a, 4)
    let u0 = v128.load(w), u1 = v128.load(w, 16), u2 = v128.load(w, 32), u3 = v128.load(w, 48)
    i0 = dot7(i0, v128.and(u0, mask), x); i1 = dot7(i1, v128.and(u1, mask), x)
    i2 = dot7(i2, v128.and(u2, mask), x); i3 = dot7(i3, v128.and(u3, mask), x)
    i0 = dot7(i0, upper(u0, mask), y); i1 = dot7(i1, upper(u1, mask), y)
    i2 = dot7(i2, upper(u2, mask), y); i3 = dot7(i3, upper(u3, mask), y)
    x = v128.load32_splat(a, 8); y = v128.load32_splat(a, 12)
    u0 = v128.load(w, 64); u1 = v128.load(w, 80); u2 = v128.load(w, 96); u3 = v128.load(w, 112)
    i0 = dot7(i0, v128.and(u0, mask), x); i1 = dot7(i1, v128.and(u1, mask), x)
    i2 = dot7(i2, v128.and(u2, mask), x); i3 = dot7(i3, v128.and(u3, mask), x)
    i0 = dot7(i0, upper(u0, mask), y); i1 = dot7(i1, upper(u1, mask), y)
    i2 = dot7(i2, upper(u2, mask), y); i3 = dot7(i3, upper(u3, mask), y)
    x = v128.load32_splat(a, 16); y = v128.load32_splat(a, 20)
    u0 = v128.load(w, 128); u1 = v128.load(w, 144); u2 = v128.load(w, 160); u3 = v128.load(w, 176)
    i0 = dot7(i0, v128.and(u0, mask), x); i1 = dot7(i1, v128.and(u1, mask), x)
    i2 = dot7(i2, v128.and(u2, mask), x); i3 = dot7(i3, v128.and(u3, mask), x)
    i0 = dot7(i0, upper(u0, mask), y); i1 = dot7(i1, upper(u1, mask), y)
    i2 = dot7(i2, upper(u2, mask), y); i3 = dot7(i3, upper(u3, mask), y)
    x = v128.load32_splat(a, 24); y = v128.load32_splat(a, 28)
    u0 = v128.load(w, 192); u1 = v128.load(w, 208); u2 = v128.load(w, 224); u3 = v128.load(w, 240)
    i0 = dot7(i0, v128.and(u0, mask), x); i1 = dot7(i1, v128.and(u1, mask), x)
    i2 = dot7(i2, v128.and(u2, mask), x); i3 = dot7(i3, v128.and(u3, mask), x)
    i0 = dot7(i0, upper(u0, mask), y); i1 = dot7(i1, upper(u1, mask), y)
    i2 = dot7(i2, upper(u2, mask), y); i3 = dot7(i3, upper(u3, mask), y)
    const scale = v128.load32_splat(a, 32)
    s0 = scaled(i0, wide ? v128.load(w, 256) : scalesOf(v128.load16x4_u(w, 256)), scale, s0)
    s1 = scaled(i1, wide ? v128.load(w, 272) : scalesOf(v128.load16x4_u(w, 264)), scale, s1)
    s2 = scaled(i2, wide ? v128.load(w, 288) : scalesOf(v128.load16x4_u(w, 272)), scale, s2)
    s3 = scaled(i3, wide ? v128.load(w, 304) : scalesOf(v128.load16x4_u(w, 280)), scale, s3)
    a += 40
    w += Z
  }
  v128.store(c, s0); v128.store(c, s1, 16); v128.store(c, s2, 32); v128.store(c, s3, 48)
}

// Lanes of 16 bits hold numbers k, k + 4, k + 1, k + 5 of an output, or as many from k + 2 on.
// @ts-ignore: decorator
@inline
function exactHalvesRow(wide: bool, a: usize, w: usize, until: usize, c: usize, blocks: u32): void {
  const Z = wide ? wideQ4Bytes : q4Bytes
  const end = w + <usize>blocks * Z
  const mask = v128.load32_splat(masks, 4)
  let s0 = v128.load(c), s1 = v128.load(c, 16), s2 = v128.load(c, 32), s3 = v128.load(c, 48)
  while (w < end) {
    if (isFirstInPage(w, Z)) lookAhead(w, until, c + 128)
    const start = v128.load32_splat(a, 68)
    let i0 = start, i1 = start, i2 = start, i3 = start
    for (const last = w + 256; w < last; w += 64, a += 16) {
      const u0 = v128.load(w), u1 = v128.load(w, 16), u2 = v128.load(w, 32), u3 = v128.load(w, 48)
      let x = v128.load32_splat(a)
      i0 = dot16(i0, v128.and(u0, mask), x); i1 = dot16(i1, v128.and(u1, mask), x)
      i2 = dot16(i2, v128.and(u2, mask), x); i3 = dot16(i3, v128.and(u3, mask), x)
      x = v128.load32_splat(a, 4)
      i0 = dot16(i0, part(u0, 8, mask), x); i1 = dot16(i1, part(u1, 8, mask), x)
      i2 = dot16(i2, part(u2, 8, mask), x); i3 = dot16(i3, part(u3, 8, mask), x)
      x = v128.load32_splat(a, 8)
      i0 = dot16(i0, part(u0, 4, mask), x); i1 = dot16(i1, part(u1, 4, mask), x)
      i2 = dot16(i2, part(u2, 4, mask), x); i3 = dot16(i3, part(u3, 4, mask), x)
      x = v128.load32_splat(a, 12)
      i0 = dot16(i0, part(u0, 12, mask), x); i1 = dot16(i1, part(u1, 12, mask), x)
      i2 = dot16(i2, part(u2, 12, mask), x); i3 = dot16(i3, part(u3, 12, mask), x)
    }
    const scale = v128.load32_splat(a)
    s0 = scaled(i0, wide ? v128.load(w) : scalesOf(v128.load16x4_u(w)), scale, s0)
    s1 = scaled(i1, wide ? v128.load(w, 16) : scalesOf(v128.load16x4_u(w, 8)), scale, s1)
    s2 = scaled(i2, wide ? v128.load(w, 32) : scalesOf(v128.load16x4_u(w, 16)), scale, s2)
    s3 = scaled(i3, wide ? v128.load(w, 48) : scalesOf(v128.load16x4_u(w, 24)), scale, s3)
    a += 8
    w += wide ? 64 : 32
  }
  v128.store(c, s0); v128.store(c, s1, 16); v128.store(c, s2, 32); v128.store(c, s3, 48)
}

// @ts-ignore: decorator
@inline
function part(u: v128, bits: i32, mask: v128): v128 {
  return v128.and(i32x4.shr_u(u, bits), mask)
}
