// Up to three rows times one panel of quantized weights, in whole numbers (quantized_round.as.ts), for
// prompts and several sequences. Some blocks of the panel are laid out once for all rows: scales in
// f32, then the numbers as the dot products take them, four of an output side by side for those of
// bytes, else two. Three rows by sixteen outputs fill the registers: the sums in f32, those of a block
// in whole numbers, two weights. What V8 pairs to 256 bits: sums begun by adjacent loads, a loop over
// the block that is not unrolled, adjacent stores.
// A row's products are those of quantized_row.as.ts to the bit.
import { isBytes, isWide, numberBytes, scalesOf, upper } from "./quantized_block.as"
import { dot16, dot7, scaled } from "./quantized_dot.as"
import { tileHasBytes, tileOffset, tileRecordBytes } from "./quantized_round.as"
import { isFirstInPage, lookAhead } from "../shared/stream.as"

/** Bytes of a block that is laid out. */
export const tileBlockBytes: usize = 576

/** In memory, not in the code: V8 makes constants anew in every round, and does not pair them. */
const masks = memory.data<u32>([0x0f0f0f0f, 0x08080808])

/** Lays out `blocks` blocks of w at `to`; `until`: of all weights that are about to be read
 *  (stream.as.ts); four bytes at `spare` are overwritten. */
export function layOut(w: usize, Z: u32, blocks: u32, to: usize, until: usize, spare: usize): void {
  if (isWide(Z)) layWide(w, Z, blocks, to, until, spare)
  else layNarrow(w, Z, blocks, to, until, spare)
}

function layWide(w: usize, Z: u32, blocks: u32, to: usize, until: usize, spare: usize): void {
  lay(true, w, Z, blocks, to, until, spare)
}
function layNarrow(w: usize, Z: u32, blocks: u32, to: usize, until: usize, spare: usize): void {
  lay(false, w, Z, blocks, to, until, spare)
}

// `wide`, scales in f32, is a constant where this is inlined: dead branches fall away.
// @ts-ignore: decorator
@inline
function lay(
  wide: bool, w: usize, Z: u32, blocks: u32, to: usize, until: usize, spare: usize,
): void {
  const bytes = tileHasBytes(Z)
  for (const end = w + <usize>blocks * Z; w < end; w += Z, to += tileBlockBytes) {
    if (isFirstInPage(w, Z)) lookAhead(w, until, spare)
    const at = w + numberBytes(Z)
    // With places in the instruction: addresses that are added up keep V8 from pairing them.
    if (wide) {
      v128.store(to, v128.load(at)); v128.store(to, v128.load(at, 16), 16)
      v128.store(to, v128.load(at, 32), 32); v128.store(to, v128.load(at, 48), 48)
    } else {
      v128.store(to, scalesOf(v128.load16x4_u(at)))
      v128.store(to, scalesOf(v128.load16x4_u(at, 8)), 16)
      v128.store(to, scalesOf(v128.load16x4_u(at, 16)), 32)
      v128.store(to, scalesOf(v128.load16x4_u(at, 24)), 48)
    }
    if (!isBytes(Z)) {
      if (bytes) halves(w, to + 64)
      else halvesInPairs(w, to + 64)
    } else if (bytes) fours(w, to + 64, <u8>tileOffset(Z))
    else memory.copy(to + 64, w, 512)
  }
}

/** q8: fours out of pairs, raised by `offset`. */
function fours(w: usize, to: usize, offset: u8): void {
  const raise = i8x16.splat(offset)
  for (const end = w + 512; w < end; w += 64, to += 64) {
    const a = v128.xor(v128.load(w), raise), b = v128.xor(v128.load(w, 16), raise)
    const c = v128.xor(v128.load(w, 32), raise), d = v128.xor(v128.load(w, 48), raise)
    v128.store(to, v128.shuffle<i16>(a, c, 0, 8, 1, 9, 2, 10, 3, 11))
    v128.store(to, v128.shuffle<i16>(a, c, 4, 12, 5, 13, 6, 14, 7, 15), 16)
    v128.store(to, v128.shuffle<i16>(b, d, 0, 8, 1, 9, 2, 10, 3, 11), 32)
    v128.store(to, v128.shuffle<i16>(b, d, 4, 12, 5, 13, 6, 14, 7, 15), 48)
  }
}

/** q4: the half bytes, in fours as they are. */
function halves(w: usize, to: usize): void {
  const mask = v128.load32_splat(masks)
  for (const end = w + 256; w < end; w += 64, to += 128) {
    const a = v128.load(w), b = v128.load(w, 16), c = v128.load(w, 32), d = v128.load(w, 48)
    v128.store(to, v128.and(a, mask)); v128.store(to, v128.and(b, mask), 16)
    v128.store(to, v128.and(c, mask), 32); v128.store(to, v128.and(d, mask), 48)
    v128.store(to, upper(a, mask), 64); v128.store(to, upper(b, mask), 80)
    v128.store(to, upper(c, mask), 96); v128.store(to, upper(d, mask), 112)
  }
}

/** q4: the half bytes as signed bytes in pairs, as q8 has them. */
function halvesInPairs(w: usize, to: usize): void {
  const mask = v128.load32_splat(masks), eight = v128.load32_splat(masks, 4)
  for (const end = w + 256; w < end; w += 64, to += 128) {
    for (let i: usize = 0; i < 64; i += 32) {
      const u = v128.load(w + i), v = v128.load(w + i, 16)
      pairs(i8x16.sub(v128.and(u, mask), eight), i8x16.sub(v128.and(v, mask), eight), to + (i >> 1))
      pairs(i8x16.sub(upper(u, mask), eight), i8x16.sub(upper(v, mask), eight), to + (i >> 1) + 64)
    }
  }
}

/** Fours of eight outputs into their first and their second pairs, 32 bytes apart. */
// @ts-ignore: decorator
@inline
function pairs(a: v128, b: v128, to: usize): void {
  v128.store(to, v128.shuffle<i16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14))
  v128.store(to, v128.shuffle<i16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15), 32)
}

/** c (rows, 16) += blocks of a tile of rows · w, `blocks` blocks that are laid out; rows of c lie
 *  `stride` bytes apart. */
export function tileOfBlocks(
  rows: u32, Z: u32, a: usize, w: usize, c: usize, stride: usize, blocks: u32,
): void {
  if (tileHasBytes(Z)) {
    if (rows === 3) bytes3(a, w, c, stride, blocks)
    else if (rows === 2) bytes2(a, w, c, stride, blocks)
    else bytes1(a, w, c, stride, blocks)
  } else if (rows === 3) words3(a, w, c, stride, blocks)
  else if (rows === 2) words2(a, w, c, stride, blocks)
  else words1(a, w, c, stride, blocks)
}

function bytes1(a: usize, w: usize, c: usize, stride: usize, blocks: u32): void {
  tile(1, true, a, w, c, stride, blocks)
}
function bytes2(a: usize, w: usize, c: usize, stride: usize, blocks: u32): void {
  tile(2, true, a, w, c, stride, blocks)
}
function bytes3(a: usize, w: usize, c: usize, stride: usize, blocks: u32): void {
  tile(3, true, a, w, c, stride, blocks)
}
function words1(a: usize, w: usize, c: usize, stride: usize, blocks: u32): void {
  tile(1, false, a, w, c, stride, blocks)
}
function words2(a: usize, w: usize, c: usize, stride: usize, blocks: u32): void {
  tile(2, false, a, w, c, stride, blocks)
}
function words3(a: usize, w: usize, c: usize, stride: usize, blocks: u32): void {
  tile(3, false, a, w, c, stride, blocks)
}

/** Zeros that sums of pairs begin with. */
const zeros = memory.data<u32>([0, 0, 0, 0, 0, 0, 0, 0])

/** sum + products of four, or of two, numbers with those of four outputs. */
// @ts-ignore: decorator
@inline
function dot(bytes: bool, sum: v128, w: v128, x: v128): v128 {
  return bytes ? dot7(sum, w, x) : dot16(sum, w, x)
}

// `rows` 1 … 3 and `bytes` are constants where this is inlined: dead branches fall away.
// @ts-ignore: decorator
@inline
function tile(
  rows: u32, bytes: bool, a: usize, w: usize, c: usize, stride: usize, blocks: u32,
): void {
  const r1 = c + stride, r2 = r1 + stride
  const step = <usize>rows * 4
  const wordBytes: usize = bytes ? 64 : 32
  let s00 = v128.load(c), s01 = v128.load(c, 16), s02 = v128.load(c, 32), s03 = v128.load(c, 48)
  let s10 = s00, s11 = s00, s12 = s00, s13 = s00, s20 = s00, s21 = s00, s22 = s00, s23 = s00
  if (rows > 1) {
    s10 = v128.load(r1); s11 = v128.load(r1, 16); s12 = v128.load(r1, 32); s13 = v128.load(r1, 48)
  }
  if (rows > 2) {
    s20 = v128.load(r2); s21 = v128.load(r2, 16); s22 = v128.load(r2, 32); s23 = v128.load(r2, 48)
  }
  for (const end = w + <usize>blocks * tileBlockBytes; w < end;) {
    const first = w
    const start = bytes ? a + 9 * step : zeros
    let i00 = v128.load(start), i01 = v128.load(start, 16), i02 = i00, i03 = i01
    let i10 = i00, i11 = i01, i12 = i00, i13 = i01, i20 = i00, i21 = i01, i22 = i00, i23 = i01
    if (rows > 1 && bytes) {
      i10 = v128.load(start, 32); i11 = v128.load(start, 48); i12 = i10; i13 = i11
    }
    if (rows > 2 && bytes) {
      i20 = v128.load(start, 64); i21 = v128.load(start, 80); i22 = i20; i23 = i21
    }
    w += 64
    for (const last = w + 512; w < last; w += wordBytes, a += step) {
      const w0 = bytes ? v128.load(w) : v128.load8x8_s(w)
      const w1 = bytes ? v128.load(w, 16) : v128.load8x8_s(w, 8)
      const w2 = bytes ? v128.load(w, 32) : v128.load8x8_s(w, 16)
      const w3 = bytes ? v128.load(w, 48) : v128.load8x8_s(w, 24)
      let x = v128.load32_splat(a)
      i00 = dot(bytes, i00, w0, x); i01 = dot(bytes, i01, w1, x)
      i02 = dot(bytes, i02, w2, x); i03 = dot(bytes, i03, w3, x)
      if (rows > 1) {
        x = v128.load32_splat(a, 4)
        i10 = dot(bytes, i10, w0, x); i11 = dot(bytes, i11, w1, x)
        i12 = dot(bytes, i12, w2, x); i13 = dot(bytes, i13, w3, x)
      }
      if (rows > 2) {
        x = v128.load32_splat(a, 8)
        i20 = dot(bytes, i20, w0, x); i21 = dot(bytes, i21, w1, x)
        i22 = dot(bytes, i22, w2, x); i23 = dot(bytes, i23, w3, x)
      }
    }
    let t = v128.load32_splat(a)
    const u0 = v128.load(first), u1 = v128.load(first, 16)
    const u2 = v128.load(first, 32), u3 = v128.load(first, 48)
    s00 = scaled(i00, u0, t, s00); s01 = scaled(i01, u1, t, s01)
    s02 = scaled(i02, u2, t, s02); s03 = scaled(i03, u3, t, s03)
    if (rows > 1) {
      t = v128.load32_splat(a, 4)
      s10 = scaled(i10, u0, t, s10); s11 = scaled(i11, u1, t, s11)
      s12 = scaled(i12, u2, t, s12); s13 = scaled(i13, u3, t, s13)
    }
    if (rows > 2) {
      t = v128.load32_splat(a, 8)
      s20 = scaled(i20, u0, t, s20); s21 = scaled(i21, u1, t, s21)
      s22 = scaled(i22, u2, t, s22); s23 = scaled(i23, u3, t, s23)
    }
    a += bytes ? 9 * step : step
  }
  v128.store(c, s00); v128.store(c, s01, 16); v128.store(c, s02, 32); v128.store(c, s03, 48)
  if (rows > 1) {
    v128.store(r1, s10); v128.store(r1, s11, 16); v128.store(r1, s12, 32); v128.store(r1, s13, 48)
  }
  if (rows > 2) {
    v128.store(r2, s20); v128.store(r2, s21, 16); v128.store(r2, s22, 32); v128.store(r2, s23, 48)
  }
}
