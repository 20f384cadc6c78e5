// One row times two panels side by side, c (32) += x (k) · w (k, 16), z (k, 16), reading their bytes once,
// front to back, as stored: what decode does all day. Two streams keep more lines of memory on their way
// than one: 16-bit weights come a quarter faster. f16 and bf16 are widened in pairs by shift and mask, so
// that even and odd outputs have sums of their own, brought into order at the end. The eight sums come
// from memory and go back to it in adjacent pairs: V8 can fuse those.
import { madd } from "../shared/simd.as"
import { lookAhead } from "../shared/stream.as"

/** c (32) += x (k) · panels at w and z of a dtype; f16 counts as w·2^-112. Of one panel alone z is w
 *  too. `until`: of all weights that are about to be read (stream.as.ts); `at`: 192 bytes for the sums. */
export function rowProduct(
  x: usize, w: usize, z: usize, c: usize, k: u32, wType: u32, until: usize, at: usize,
): void {
  memory.fill(at, 0, 128)
  if (wType === 0) rowF32(x, w, z, at, k, until)
  else if (wType === 1) rowF16(x, w, z, at, k, until)
  else rowBf16(x, w, z, at, k, until)
  if (wType === 0) {
    for (let i: usize = 0; i < 128; i += 64) {
      const p = v128.load(at + i), q = v128.load(at + i, 16)
      addTo(c + i, p, q, v128.load(at + i, 32), v128.load(at + i, 48))
    }
  } else {
    addInOrder(c, at)
    addInOrder(c + 64, at + 64)
  }
}

// @ts-ignore: decorator
@inline
function addTo(c: usize, p: v128, q: v128, r: v128, s: v128): void {
  v128.store(c, f32x4.add(v128.load(c), p))
  v128.store(c, f32x4.add(v128.load(c, 16), q), 16)
  v128.store(c, f32x4.add(v128.load(c, 32), r), 32)
  v128.store(c, f32x4.add(v128.load(c, 48), s), 48)
}

/** The sums of even outputs at `at`, those of odd ones behind them. */
// @ts-ignore: decorator
@inline
function addInOrder(c: usize, at: usize): void {
  const p = v128.load(at), q = v128.load(at, 16), r = v128.load(at, 32), s = v128.load(at, 48)
  const first = v128.shuffle<f32>(p, r, 0, 4, 1, 5), second = v128.shuffle<f32>(p, r, 2, 6, 3, 7)
  const third = v128.shuffle<f32>(q, s, 0, 4, 1, 5), fourth = v128.shuffle<f32>(q, s, 2, 6, 3, 7)
  addTo(c, first, second, third, fourth)
}

function rowF32(x: usize, w: usize, z: usize, at: usize, k: u32, until: usize): void {
  const end = x + <usize>k * 4
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  while (x < end) {
    const page = min(end, x + 256)
    lookAhead(w, until, at + 128)
    lookAhead(z, until, at + 132)
    while (x < page) {
      const s = v128.load32_splat(x)
      a = madd(s, v128.load(w), a); b = madd(s, v128.load(w, 16), b)
      c = madd(s, v128.load(w, 32), c); d = madd(s, v128.load(w, 48), d)
      e = madd(s, v128.load(z), e); f = madd(s, v128.load(z, 16), f)
      g = madd(s, v128.load(z, 32), g); h = madd(s, v128.load(z, 48), h)
      x += 4
      w += 64
      z += 64
    }
  }
  v128.store(at, a); v128.store(at, b, 16); v128.store(at, c, 32); v128.store(at, d, 48)
  v128.store(at, e, 64); v128.store(at, f, 80); v128.store(at, g, 96); v128.store(at, h, 112)
}

/** In memory, not in the code: V8 makes constants anew in every round, and does not pair them. */
const masks = memory.data<u32>([0xffff0000, 0x8fffe000])

function rowF16(x: usize, w: usize, z: usize, at: usize, k: u32, until: usize): void {
  halvesRow(true, x, w, z, at, k, until)
}
function rowBf16(x: usize, w: usize, z: usize, at: usize, k: u32, until: usize): void {
  halvesRow(false, x, w, z, at, k, until)
}

/** The odd (upper) number of each lane: bf16 is the upper half of an f32, f16 becomes f32·2^-112: the
 *  sign is shifted in and masked to one bit. */
// @ts-ignore: decorator
@inline
function odd(f16: bool, u: v128, mask: v128): v128 {
  return v128.and(f16 ? i32x4.shr_s(u, 3) : u, mask)
}

// @ts-ignore: decorator
@inline
function even(f16: bool, u: v128, mask: v128): v128 {
  return f16 ? odd(true, i32x4.shl(u, 16), mask) : i32x4.shl(u, 16)
}

// `f16` is a constant where this is inlined: dead branches fall away.
// @ts-ignore: decorator
@inline
function halvesRow(
  f16: bool, x: usize, w: usize, z: usize, at: usize, k: u32, until: usize,
): void {
  const end = x + <usize>k * 4
  const mask = v128.load32_splat(f16 ? masks + 4 : masks)
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  while (x < end) {
    const page = min(end, x + 512)
    lookAhead(w, until, at + 128)
    lookAhead(z, until, at + 132)
    while (x < page) {
      const s = v128.load32_splat(x), u = v128.load(w), v = v128.load(w, 16)
      a = madd(s, even(f16, u, mask), a); b = madd(s, even(f16, v, mask), b)
      c = madd(s, odd(f16, u, mask), c); d = madd(s, odd(f16, v, mask), d)
      const p = v128.load(z), q = v128.load(z, 16)
      e = madd(s, even(f16, p, mask), e); f = madd(s, even(f16, q, mask), f)
      g = madd(s, odd(f16, p, mask), g); h = madd(s, odd(f16, q, mask), h)
      x += 4
      w += 32
      z += 32
    }
  }
  v128.store(at, a); v128.store(at, b, 16); v128.store(at, c, 32); v128.store(at, d, 48)
  v128.store(at, e, 64); v128.store(at, f, 80); v128.store(at, g, 96); v128.store(at, h, 112)
}
