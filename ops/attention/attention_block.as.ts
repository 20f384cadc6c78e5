// Attention's two products with a block of keys or values, rows `stride` bytes apart, for four
// queries or two: scores = q·kᵀ, and acc = acc·correction + weights·v. Keys and values are f32, or
// f16 widened in registers; E is a multiple of 16. What a query gets is the same to the bit in
// every variant. Adjacent pairs of 128-bit operations, sums loaded from memory and stored back on
// one path: V8 fuses such pairs into 256-bit operations. Eight pairs then fill the registers;
// without that, four do.
import { madd } from "../shared/simd.as"

/** In memory, not in the code: V8 makes constants anew in every round, and does not pair them. */
const signAndMagnitude = memory.data<u32>([0x8fffe000])
const zeros = memory.data(32, 16)

/** Halves of the factor 2^112 that f16 lacks when it is widened. */
export const f16Scale: f32 = 72057594037927936.0

/** Four numbers as f32, from their load with sign extension; f16 times 2^-112. */
// @ts-ignore: decorator
@inline
function widened(u: v128, half: bool, mask: v128): v128 {
  return half ? v128.and(i32x4.shl(u, 13), mask) : u
}

// @ts-ignore: decorator
@inline
function four(p: usize, half: bool): v128 {
  return half ? v128.load16x4_s(p) : v128.load(p)
}

/** The four numbers after those. */
// @ts-ignore: decorator
@inline
function next(p: usize, half: bool): v128 {
  return half ? v128.load16x4_s(p, 8) : v128.load(p, 16)
}

/** Lane i = sum of the four numbers at p + i·16, or at p + (i & 1)·16. */
// @ts-ignore: decorator
@inline
function sumEach(p: usize, rows: u32): v128 {
  const a = v128.load(p), b = v128.load(p, 16)
  const c = rows > 2 ? v128.load(p, 32) : a, d = rows > 2 ? v128.load(p, 48) : b
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7))
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7))
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7))
}

/** sums (keys, rows, 4) of q (E/4, 4, 4) with 8, 4 or 2 keys from k on, of which `last` is the last
 *  one. `rows` 4 or 2, `wide` and `half` are constants where this is inlined. */
// @ts-ignore: decorator
@inline
function products(
  rows: u32, wide: bool, half: bool, q: usize, k: usize, stride: usize, last: u32, E: u32,
  sums: usize,
): void {
  let a0 = v128.load(zeros), a1 = v128.load(zeros, 16)
  let b0 = a0, b1 = a1, c0 = a0, c1 = a1, d0 = a0, d1 = a1
  let e0 = a0, e1 = a1, f0 = a0, f1 = a1, g0 = a0, g1 = a1, h0 = a0, h1 = a1
  const mask = half ? v128.load32_splat(signAndMagnitude) : a0
  let l = k + <usize>min(1, last) * stride, m = k + <usize>min(2, last) * stride
  let n = k + <usize>min(3, last) * stride, o = k + <usize>min(4, last) * stride
  let p = k + <usize>min(5, last) * stride, r = k + <usize>min(6, last) * stride
  let s = k + <usize>min(7, last) * stride
  const step: usize = half ? 8 : 16
  for (const end = q + (<usize>E << 4); q < end; q += 64) {
    const q0 = v128.load(q), q1 = v128.load(q, 16)
    const q2 = rows > 2 ? v128.load(q, 32) : q0, q3 = rows > 2 ? v128.load(q, 48) : q1
    const x = widened(four(k, half), half, mask), y = widened(four(l, half), half, mask)
    k += step; l += step
    a0 = madd(q0, x, a0); a1 = madd(q1, x, a1)
    if (rows > 2) {
      b0 = madd(q2, x, b0); b1 = madd(q3, x, b1)
      c0 = madd(q0, y, c0); c1 = madd(q1, y, c1); d0 = madd(q2, y, d0); d1 = madd(q3, y, d1)
    } else {
      const z = widened(four(m, half), half, mask), w = widened(four(n, half), half, mask)
      m += step; n += step
      b0 = madd(q0, y, b0); b1 = madd(q1, y, b1)
      c0 = madd(q0, z, c0); c1 = madd(q1, z, c1); d0 = madd(q0, w, d0); d1 = madd(q1, w, d1)
    }
    if (wide && rows > 2) {
      const z = widened(four(m, half), half, mask), w = widened(four(n, half), half, mask)
      m += step; n += step
      e0 = madd(q0, z, e0); e1 = madd(q1, z, e1); f0 = madd(q2, z, f0); f1 = madd(q3, z, f1)
      g0 = madd(q0, w, g0); g1 = madd(q1, w, g1); h0 = madd(q2, w, h0); h1 = madd(q3, w, h1)
    } else if (wide) {
      const t = widened(four(o, half), half, mask), u = widened(four(p, half), half, mask)
      const v = widened(four(r, half), half, mask), w = widened(four(s, half), half, mask)
      o += step; p += step; r += step; s += step
      e0 = madd(q0, t, e0); e1 = madd(q1, t, e1); f0 = madd(q0, u, f0); f1 = madd(q1, u, f1)
      g0 = madd(q0, v, g0); g1 = madd(q1, v, g1); h0 = madd(q0, w, h0); h1 = madd(q1, w, h1)
    }
  }
  v128.store(sums, a0); v128.store(sums, a1, 16); v128.store(sums, b0, 32); v128.store(sums, b1, 48)
  v128.store(sums, c0, 64); v128.store(sums, c1, 80); v128.store(sums, d0, 96)
  v128.store(sums, d1, 112)
  if (wide) {
    v128.store(sums, e0, 128); v128.store(sums, e1, 144); v128.store(sums, f0, 160)
    v128.store(sums, f1, 176); v128.store(sums, g0, 192); v128.store(sums, g1, 208)
    v128.store(sums, h0, 224); v128.store(sums, h1, 240)
  }
}

/** Scores of the keys in 128 bytes of sums. */
// @ts-ignore: decorator
@inline
function deliver(rows: u32, factor: v128, sums: usize, out: usize): void {
  v128.store(out, f32x4.mul(sumEach(sums, rows), factor))
  if (rows > 2) {
    v128.store(out, f32x4.mul(sumEach(sums + 64, rows), factor), 16)
    return
  }
  v128.store(out, f32x4.mul(sumEach(sums + 32, rows), factor), 16)
  v128.store(out, f32x4.mul(sumEach(sums + 64, rows), factor), 32)
  v128.store(out, f32x4.mul(sumEach(sums + 96, rows), factor), 48)
}

/** out (n rounded up to 8, 4) = scores of n keys; `sums` 256 bytes. */
// @ts-ignore: decorator
@inline
function scores(
  rows: u32, wide: bool, half: bool, q: usize, k: usize, stride: usize, n: u32, E: u32,
  out: usize, sums: usize,
): void {
  const factor = f32x4.splat(half ? f16Scale : 1)
  const keys: u32 = (wide ? 16 : 8) / rows
  for (let i: u32 = 0; i < n; i += keys, k += <usize>keys * stride) {
    products(rows, wide, half, q, k, stride, n - i - 1, E, sums)
    deliver(rows, factor, sums, out)
    if (wide) deliver(rows, factor, sums + 128, out + <usize>keys * 8)
    out += <usize>keys * 16
  }
}

function wide4F32Scores(
  q: usize, k: usize, s: usize, n: u32, E: u32, out: usize, at: usize,
): void {
  scores(4, true, false, q, k, s, n, E, out, at)
}
function wide4F16Scores(
  q: usize, k: usize, s: usize, n: u32, E: u32, out: usize, at: usize,
): void {
  scores(4, true, true, q, k, s, n, E, out, at)
}
function narrow4F32Scores(
  q: usize, k: usize, s: usize, n: u32, E: u32, out: usize, at: usize,
): void {
  scores(4, false, false, q, k, s, n, E, out, at)
}
function narrow4F16Scores(
  q: usize, k: usize, s: usize, n: u32, E: u32, out: usize, at: usize,
): void {
  scores(4, false, true, q, k, s, n, E, out, at)
}
function wide2F32Scores(
  q: usize, k: usize, s: usize, n: u32, E: u32, out: usize, at: usize,
): void {
  scores(2, true, false, q, k, s, n, E, out, at)
}
function wide2F16Scores(
  q: usize, k: usize, s: usize, n: u32, E: u32, out: usize, at: usize,
): void {
  scores(2, true, true, q, k, s, n, E, out, at)
}
function narrow2F32Scores(
  q: usize, k: usize, s: usize, n: u32, E: u32, out: usize, at: usize,
): void {
  scores(2, false, false, q, k, s, n, E, out, at)
}
function narrow2F16Scores(
  q: usize, k: usize, s: usize, n: u32, E: u32, out: usize, at: usize,
): void {
  scores(2, false, true, q, k, s, n, E, out, at)
}

/** out (n, 4) = scores of n keys with the first `rows` of the four queries q (E/4, 4, 4). What lies
 *  after them, up to a multiple of eight keys, is overwritten; `at` is the place of 256 bytes. */
export function scoreBlock(
  rows: u32, wide: bool, half: bool, q: usize, k: usize, s: usize, n: u32, E: u32, out: usize,
  at: usize,
): void {
  if (rows > 2) {
    if (wide && half) wide4F16Scores(q, k, s, n, E, out, at)
    else if (wide) wide4F32Scores(q, k, s, n, E, out, at)
    else if (half) narrow4F16Scores(q, k, s, n, E, out, at)
    else narrow4F32Scores(q, k, s, n, E, out, at)
  } else if (wide && half) wide2F16Scores(q, k, s, n, E, out, at)
  else if (wide) wide2F32Scores(q, k, s, n, E, out, at)
  else if (half) narrow2F16Scores(q, k, s, n, E, out, at)
  else narrow2F32Scores(q, k, s, n, E, out, at)
}

/** acc (E/8, 4 rows, 8) of as many columns as there are pairs for the rows ← acc·corrections +
 *  Σ weights (n, 4)·v. */
// @ts-ignore: decorator
@inline
function mixture(
  rows: u32, wide: bool, half: bool, weights: usize, corrections: usize, v: usize, stride: usize,
  n: u32, acc: usize,
): void {
  const more = rows > 2
  const mask = half ? v128.load32_splat(signAndMagnitude) : v128.load(zeros)
  const c = acc + (more ? 64 : 128), e = acc + (more ? 128 : 256), g = acc + (more ? 192 : 384)
  const w0 = v128.load32_splat(corrections), w1 = v128.load32_splat(corrections, 4)
  const w2 = more ? v128.load32_splat(corrections, 8) : w0
  const w3 = more ? v128.load32_splat(corrections, 12) : w1
  let a0 = f32x4.mul(v128.load(acc), w0), a1 = f32x4.mul(v128.load(acc, 16), w0)
  let b0 = f32x4.mul(v128.load(acc, 32), w1), b1 = f32x4.mul(v128.load(acc, 48), w1)
  let c0 = f32x4.mul(v128.load(c), w2), c1 = f32x4.mul(v128.load(c, 16), w2)
  let d0 = f32x4.mul(v128.load(c, 32), w3), d1 = f32x4.mul(v128.load(c, 48), w3)
  let e0 = a0, e1 = a1, f0 = a0, f1 = a1, g0 = a0, g1 = a1, h0 = a0, h1 = a1
  if (wide) {
    e0 = f32x4.mul(v128.load(e), w0); e1 = f32x4.mul(v128.load(e, 16), w0)
    f0 = f32x4.mul(v128.load(e, 32), w1); f1 = f32x4.mul(v128.load(e, 48), w1)
    g0 = f32x4.mul(v128.load(g), w2); g1 = f32x4.mul(v128.load(g, 16), w2)
    h0 = f32x4.mul(v128.load(g, 32), w3); h1 = f32x4.mul(v128.load(g, 48), w3)
  }
  const step: usize = half ? 16 : 32
  for (const end = weights + (<usize>n << 4); weights < end; weights += 16, v += stride) {
    const s0 = v128.load32_splat(weights), s1 = v128.load32_splat(weights, 4)
    const s2 = more ? v128.load32_splat(weights, 8) : s0
    const s3 = more ? v128.load32_splat(weights, 12) : s1
    const l = v + step
    const x0 = widened(four(v, half), half, mask), x1 = widened(next(v, half), half, mask)
    let y0 = x0, y1 = x1
    if (wide || !more) {
      y0 = widened(four(l, half), half, mask); y1 = widened(next(l, half), half, mask)
    }
    const z0 = more ? x0 : y0, z1 = more ? x1 : y1
    a0 = madd(s0, x0, a0); a1 = madd(s0, x1, a1); b0 = madd(s1, x0, b0); b1 = madd(s1, x1, b1)
    c0 = madd(s2, z0, c0); c1 = madd(s2, z1, c1); d0 = madd(s3, z0, d0); d1 = madd(s3, z1, d1)
    if (wide) {
      let t0 = y0, t1 = y1, u0 = y0, u1 = y1
      if (!more) {
        const m = l + step, r = m + step
        t0 = widened(four(m, half), half, mask); t1 = widened(next(m, half), half, mask)
        u0 = widened(four(r, half), half, mask); u1 = widened(next(r, half), half, mask)
      }
      e0 = madd(s0, t0, e0); e1 = madd(s0, t1, e1); f0 = madd(s1, t0, f0); f1 = madd(s1, t1, f1)
      g0 = madd(s2, u0, g0); g1 = madd(s2, u1, g1); h0 = madd(s3, u0, h0); h1 = madd(s3, u1, h1)
    }
  }
  v128.store(acc, a0); v128.store(acc, a1, 16); v128.store(acc, b0, 32); v128.store(acc, b1, 48)
  v128.store(c, c0); v128.store(c, c1, 16); v128.store(c, d0, 32); v128.store(c, d1, 48)
  if (wide) {
    v128.store(e, e0); v128.store(e, e1, 16); v128.store(e, f0, 32); v128.store(e, f1, 48)
    v128.store(g, g0); v128.store(g, g1, 16); v128.store(g, h0, 32); v128.store(g, h1, 48)
  }
}

function wide4F32Mix(w: usize, c: usize, v: usize, s: usize, n: u32, acc: usize): void {
  mixture(4, true, false, w, c, v, s, n, acc)
}
function wide4F16Mix(w: usize, c: usize, v: usize, s: usize, n: u32, acc: usize): void {
  mixture(4, true, true, w, c, v, s, n, acc)
}
function narrow4F32Mix(w: usize, c: usize, v: usize, s: usize, n: u32, acc: usize): void {
  mixture(4, false, false, w, c, v, s, n, acc)
}
function narrow4F16Mix(w: usize, c: usize, v: usize, s: usize, n: u32, acc: usize): void {
  mixture(4, false, true, w, c, v, s, n, acc)
}
function wide2F32Mix(w: usize, c: usize, v: usize, s: usize, n: u32, acc: usize): void {
  mixture(2, true, false, w, c, v, s, n, acc)
}
function wide2F16Mix(w: usize, c: usize, v: usize, s: usize, n: u32, acc: usize): void {
  mixture(2, true, true, w, c, v, s, n, acc)
}
function narrow2F32Mix(w: usize, c: usize, v: usize, s: usize, n: u32, acc: usize): void {
  mixture(2, false, false, w, c, v, s, n, acc)
}
function narrow2F16Mix(w: usize, c: usize, v: usize, s: usize, n: u32, acc: usize): void {
  mixture(2, false, true, w, c, v, s, n, acc)
}

/** acc (E/8, 4 rows, 8) ← acc·corrections + Σ weights (n, 4)·v for the first `rows` rows. */
export function mixBlock(
  rows: u32, wide: bool, half: bool, w: usize, c: usize, v: usize, s: usize, n: u32, E: u32,
  acc: usize,
): void {
  const item: usize = half ? 2 : 4
  for (let e: u32 = 0; e < E; ) {
    const isWide = wide && (rows > 2 || e + 32 <= E)
    const to = acc + (<usize>e << 4), from = v + <usize>e * item
    if (rows > 2) {
      if (isWide && half) wide4F16Mix(w, c, from, s, n, to)
      else if (isWide) wide4F32Mix(w, c, from, s, n, to)
      else if (half) narrow4F16Mix(w, c, from, s, n, to)
      else narrow4F32Mix(w, c, from, s, n, to)
    } else if (isWide && half) wide2F16Mix(w, c, from, s, n, to)
    else if (isWide) wide2F32Mix(w, c, from, s, n, to)
    else if (half) narrow2F16Mix(w, c, from, s, n, to)
    else narrow2F32Mix(w, c, from, s, n, to)
    e += (isWide ? 32 : 16) / (rows > 2 ? 2 : 1)
  }
}
