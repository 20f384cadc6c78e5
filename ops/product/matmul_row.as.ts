// One row times one panel, c (16) += x (k) · w (k, 16), reading the panel's bytes once, front to
// back, as stored: what decode does all day. f16 and bf16 are widened in pairs by shift and
// mask, so that even and odd outputs have sums of their own, brought into order at the end. The
// eight sums come from memory and go back to it in adjacent pairs: V8 can fuse those.
import { madd } from "../shared/simd.as"
import { lookAhead } from "../shared/stream.as"

/** c (16) += x (k) · w (k, 16) of a dtype; f16 counts as w·2^-112. `until`: of all weights that
 *  are about to be read (stream.as.ts); `at`: 192 bytes for the sums. */
export function rowProduct(
  x: usize, w: usize, c: usize, k: u32, wType: u32, until: usize, at: usize,
): void {
  memory.fill(at, 0, 128)
  if (wType === 0) rowF32(x, w, at, k, until)
  else if (wType === 1) rowF16(x, w, at, k, until)
  else rowBf16(x, w, at, k, until)
  const p = f32x4.add(v128.load(at), v128.load(at, 64))
  const q = f32x4.add(v128.load(at, 16), v128.load(at, 80))
  const r = f32x4.add(v128.load(at, 32), v128.load(at, 96))
  const s = f32x4.add(v128.load(at, 48), v128.load(at, 112))
  if (wType === 0) {
    addTo(c, p, q, r, s)
    return
  }
  const first = v128.shuffle<f32>(p, r, 0, 4, 1, 5), second = v128.shuffle<f32>(p, r, 2, 6, 3, 7)
  const third = v128.shuffle<f32>(q, s, 0, 4, 1, 5), fourth = v128.shuffle<f32>(q, s, 2, 6, 3, 7)
  addTo(c, first, second, third, fourth)
}

// @ts-ignore: decorator
@inline
function addTo(c: usize, p: v128, q: v128, r: v128, s: v128): void {
  v128.store(c, f32x4.add(v128.load(c), p))
  v128.store(c, f32x4.add(v128.load(c, 16), q), 16)
  v128.store(c, f32x4.add(v128.load(c, 32), r), 32)
  v128.store(c, f32x4.add(v128.load(c, 48), s), 48)
}

function rowF32(x: usize, w: usize, at: usize, k: u32, until: usize): void {
  const end = x + <usize>k * 4
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  if (k & 1) {
    const s = v128.load32_splat(x)
    a = madd(s, v128.load(w), a); b = madd(s, v128.load(w, 16), b)
    c = madd(s, v128.load(w, 32), c); d = madd(s, v128.load(w, 48), d)
    x += 4
    w += 64
  }
  while (x < end) {
    const page = min(end, x + 256)
    lookAhead(w, until, at + 128)
    while (x < page) {
      const s = v128.load32_splat(x), t = v128.load32_splat(x, 4)
      a = madd(s, v128.load(w), a); b = madd(s, v128.load(w, 16), b)
      c = madd(s, v128.load(w, 32), c); d = madd(s, v128.load(w, 48), d)
      e = madd(t, v128.load(w, 64), e); f = madd(t, v128.load(w, 80), f)
      g = madd(t, v128.load(w, 96), g); h = madd(t, v128.load(w, 112), h)
      x += 8
      w += 128
    }
  }
  v128.store(at, a); v128.store(at, b, 16); v128.store(at, c, 32); v128.store(at, d, 48)
  v128.store(at, e, 64); v128.store(at, f, 80); v128.store(at, g, 96); v128.store(at, h, 112)
}

/** In memory, not in the code: V8 makes constants anew in every round, and does not pair them. */
const masks = memory.data<u32>([0xffff0000, 0x8fffe000])

// bf16 is the upper half of an f32.
function rowBf16(x: usize, w: usize, at: usize, k: u32, until: usize): void {
  const end = x + <usize>k * 4
  const upper = v128.load32_splat(masks)
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  if (k & 1) {
    const s = v128.load32_splat(x), u = v128.load(w), v = v128.load(w, 16)
    a = madd(s, i32x4.shl(u, 16), a); b = madd(s, i32x4.shl(v, 16), b)
    c = madd(s, v128.and(u, upper), c); d = madd(s, v128.and(v, upper), d)
    x += 4
    w += 32
  }
  while (x < end) {
    const page = min(end, x + 512)
    lookAhead(w, until, at + 128)
    while (x < page) {
      const s = v128.load32_splat(x), u = v128.load(w), v = v128.load(w, 16)
      a = madd(s, i32x4.shl(u, 16), a); b = madd(s, i32x4.shl(v, 16), b)
      c = madd(s, v128.and(u, upper), c); d = madd(s, v128.and(v, upper), d)
      const t = v128.load32_splat(x, 4), p = v128.load(w, 32), q = v128.load(w, 48)
      e = madd(t, i32x4.shl(p, 16), e); f = madd(t, i32x4.shl(q, 16), f)
      g = madd(t, v128.and(p, upper), g); h = madd(t, v128.and(q, upper), h)
      x += 8
      w += 64
    }
  }
  v128.store(at, a); v128.store(at, b, 16); v128.store(at, c, 32); v128.store(at, d, 48)
  v128.store(at, e, 64); v128.store(at, f, 80); v128.store(at, g, 96); v128.store(at, h, 112)
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

function rowF16(x: usize, w: usize, at: usize, k: u32, until: usize): void {
  const end = x + <usize>k * 4
  const mask = v128.load32_splat(masks, 4)
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  if (k & 1) {
    const s = v128.load32_splat(x), u = v128.load(w), v = v128.load(w, 16)
    a = madd(s, even(u, mask), a); b = madd(s, even(v, mask), b)
    c = madd(s, odd(u, mask), c); d = madd(s, odd(v, mask), d)
    x += 4
    w += 32
  }
  while (x < end) {
    const page = min(end, x + 512)
    lookAhead(w, until, at + 128)
    while (x < page) {
      const s = v128.load32_splat(x), u = v128.load(w), v = v128.load(w, 16)
      a = madd(s, even(u, mask), a); b = madd(s, even(v, mask), b)
      c = madd(s, odd(u, mask), c); d = madd(s, odd(v, mask), d)
      const t = v128.load32_splat(x, 4), p = v128.load(w, 32), q = v128.load(w, 48)
      e = madd(t, even(p, mask), e); f = madd(t, even(q, mask), f)
      g = madd(t, odd(p, mask), g); h = madd(t, odd(q, mask), h)
      x += 8
      w += 64
    }
  }
  v128.store(at, a); v128.store(at, b, 16); v128.store(at, c, 32); v128.store(at, d, 48)
  v128.store(at, e, 64); v128.store(at, f, 80); v128.store(at, g, 96); v128.store(at, h, 112)
}
