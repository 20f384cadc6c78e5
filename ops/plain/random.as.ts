// Threefry-2x32-20 in four lanes, the bits of engine/random.ts, and from it uniform and normal
// numbers. Parallel over rows. Bytes: the output, written once.
//   u = (word >> 9 + ½)·2^-23,   z = √(−2 ln u₁)·(cos, sin)(2π u₂)  (Box-Muller)
// The angle is reduced to ±π/4 in integers: sine and cosine are right to about 1e-7 of their value
// next to their zeros too.
import { scratch } from "../../backends/wasm/thread.as"
import { madd } from "../shared/simd.as"

// @ts-ignore: decorator
@inline
function turn(y: v128, r: i32, x: v128): v128 {
  return v128.xor(v128.or(i32x4.shl(y, r), i32x4.shr_u(y, 32 - r)), x)
}

/** Writes the key schedule of key (k0, k1) after the two vectors at `at`: 160 bytes in all. */
export function schedule(k0: u32, k1: u32, at: usize): void {
  const k2 = k0 ^ k1 ^ 0x1bd11bda
  v128.store(at, i32x4.splat(k0), 32)
  v128.store(at, i32x4.splat(k1), 48)
  v128.store(at, i32x4.splat(k2), 64)
  v128.store(at, i32x4.splat(k2 + 1), 80)
  v128.store(at, i32x4.splat(k0 + 2), 96)
  v128.store(at, i32x4.splat(k1 + 3), 112)
  v128.store(at, i32x4.splat(k2 + 4), 128)
  v128.store(at, i32x4.splat(k0 + 5), 144)
}

/** Stores the two words of four blocks, counters (c0, c1), key as scheduled, at `at`, at + 16. */
// @ts-ignore: decorator
@inline
export function threefry(c0: v128, c1: v128, at: usize): void {
  let x = i32x4.add(c0, v128.load(at, 32))
  let y = i32x4.add(c1, v128.load(at, 48))
  x = i32x4.add(x, y); y = turn(y, 13, x)
  x = i32x4.add(x, y); y = turn(y, 15, x)
  x = i32x4.add(x, y); y = turn(y, 26, x)
  x = i32x4.add(x, y); y = turn(y, 6, x)
  x = i32x4.add(x, v128.load(at, 48)); y = i32x4.add(y, v128.load(at, 80))
  x = i32x4.add(x, y); y = turn(y, 17, x)
  x = i32x4.add(x, y); y = turn(y, 29, x)
  x = i32x4.add(x, y); y = turn(y, 16, x)
  x = i32x4.add(x, y); y = turn(y, 24, x)
  x = i32x4.add(x, v128.load(at, 64)); y = i32x4.add(y, v128.load(at, 96))
  x = i32x4.add(x, y); y = turn(y, 13, x)
  x = i32x4.add(x, y); y = turn(y, 15, x)
  x = i32x4.add(x, y); y = turn(y, 26, x)
  x = i32x4.add(x, y); y = turn(y, 6, x)
  x = i32x4.add(x, v128.load(at, 32)); y = i32x4.add(y, v128.load(at, 112))
  x = i32x4.add(x, y); y = turn(y, 17, x)
  x = i32x4.add(x, y); y = turn(y, 29, x)
  x = i32x4.add(x, y); y = turn(y, 16, x)
  x = i32x4.add(x, y); y = turn(y, 24, x)
  x = i32x4.add(x, v128.load(at, 48)); y = i32x4.add(y, v128.load(at, 128))
  x = i32x4.add(x, y); y = turn(y, 13, x)
  x = i32x4.add(x, y); y = turn(y, 15, x)
  x = i32x4.add(x, y); y = turn(y, 26, x)
  x = i32x4.add(x, y); y = turn(y, 6, x)
  v128.store(at, i32x4.add(x, v128.load(at, 64)))
  v128.store(at, i32x4.add(y, v128.load(at, 144)), 16)
}

// In memory, not in the code: V8 makes constants anew in every round.
const numbers = memory.data<f32>([
  0.5, 1.1920928955078125e-7, // toUnit
  7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, // ln
  -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
  -2.1219444e-4, -0.5, 0.693359375, 1, -2,
  7.490140565847157e-7, // a quarter turn / 2^21
  -1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1, // sine
  2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2, // cosine
])
const words = memory.data<u32>([0x3f3504f3, 0x100000, 0x80000000])

// @ts-ignore: decorator
@inline
function toUnit(word: v128): v128 {
  const whole = f32x4.convert_i32x4_u(i32x4.shr_u(word, 9))
  const middle = f32x4.add(whole, v128.load32_splat(numbers))
  return f32x4.mul(middle, v128.load32_splat(numbers, 4))
}

/** √(−2 ln u);  ln u = e·ln 2 + ln(1 + f), ½√2 ≤ 1 + f < √2, polynomial of Cephes. */
// @ts-ignore: decorator
@inline
function radius(word: v128): v128 {
  const u = toUnit(word)
  const exponent = i32x4.shr_s(i32x4.sub(u, v128.load32_splat(words)), 23)
  const f = f32x4.sub(i32x4.sub(u, i32x4.shl(exponent, 23)), v128.load32_splat(numbers, 56))
  const e = f32x4.convert_i32x4_s(exponent)
  const z = f32x4.mul(f, f)
  let y = madd(f, v128.load32_splat(numbers, 8), v128.load32_splat(numbers, 12))
  y = madd(y, f, v128.load32_splat(numbers, 16))
  y = madd(y, f, v128.load32_splat(numbers, 20))
  y = madd(y, f, v128.load32_splat(numbers, 24))
  y = madd(y, f, v128.load32_splat(numbers, 28))
  y = madd(y, f, v128.load32_splat(numbers, 32))
  y = madd(y, f, v128.load32_splat(numbers, 36))
  y = madd(y, f, v128.load32_splat(numbers, 40))
  y = f32x4.mul(f32x4.mul(y, f), z)
  y = madd(e, v128.load32_splat(numbers, 44), y)
  y = madd(z, v128.load32_splat(numbers, 48), y)
  const log = madd(e, v128.load32_splat(numbers, 52), f32x4.add(f, y))
  return f32x4.sqrt(f32x4.mul(log, v128.load32_splat(numbers, 60)))
}

/** Replaces the two words of four blocks by std·z of columns 2i (at) and 2i + 1 (at + 16). */
// @ts-ignore: decorator
@inline
export function normalPair(at: usize, std: v128): void {
  const r = f32x4.mul(radius(v128.load(at)), std)
  const turns = i32x4.shr_u(v128.load(at, 16), 9)
  const quarter = i32x4.shr_u(i32x4.add(turns, v128.load32_splat(words, 4)), 21)
  const rest = f32x4.convert_i32x4_s(i32x4.sub(turns, i32x4.shl(quarter, 21)))
  const middle = f32x4.add(rest, v128.load32_splat(numbers))
  const x = f32x4.mul(middle, v128.load32_splat(numbers, 64))
  const z = f32x4.mul(x, x)
  let s = madd(z, v128.load32_splat(numbers, 68), v128.load32_splat(numbers, 72))
  s = madd(s, z, v128.load32_splat(numbers, 76))
  s = madd(f32x4.mul(s, z), x, x)
  let c = madd(z, v128.load32_splat(numbers, 80), v128.load32_splat(numbers, 84))
  c = madd(c, z, v128.load32_splat(numbers, 88))
  const most = madd(z, v128.load32_splat(numbers, 48), v128.load32_splat(numbers, 56))
  c = madd(f32x4.mul(c, z), z, most)
  const swap = i32x4.shr_s(i32x4.shl(quarter, 31), 31)
  const cosine = f32x4.mul(r, v128.bitselect(s, c, swap))
  const sine = f32x4.mul(r, v128.bitselect(c, s, swap))
  // The cosine is negative in quarters 1 and 2, the sine in 2 and 3.
  const top = v128.load32_splat(words, 8)
  const turned = v128.xor(quarter, i32x4.shl(quarter, 1))
  v128.store(at, v128.xor(cosine, v128.and(i32x4.shl(turned, 30), top)))
  v128.store(at, v128.xor(sine, v128.and(i32x4.shl(quarter, 30), top)), 16)
}

/** seed (N), stream (N) → u (N, K) */
export function randomUniform(
  seed: usize, stream: usize, u: usize, N: u32, K: u32, begin: u32, end: u32,
): void {
  const out = scratch()
  for (let n = begin; n < end; n++) {
    const row = u + <usize>n * K * 4
    schedule(load<u32>(seed + <usize>n * 4), load<u32>(stream + <usize>n * 4), out)
    for (let k: u32 = 0; k < K; k += 4) {
      const columns = i32x4.add(i32x4.splat(k), i32x4(0, 1, 2, 3))
      threefry(columns, i32x4.splat(0), out)
      v128.store(out, toUnit(v128.load(out)))
      put(out, row + <usize>k * 4, K - k, 4)
    }
  }
}

/** → z (N, K): four blocks, eight columns at a time. */
export function randomNormal(
  z: usize, N: u32, K: u32, Seed: u32, Stream: u32, std: f32, begin: u32, end: u32,
): void {
  const out = scratch()
  const deviation = f32x4.splat(std)
  schedule(Seed, Stream, out)
  for (let n = begin; n < end; n++) {
    const row = z + <usize>n * K * 4
    for (let k: u32 = 0; k < K; k += 8) {
      const pairs = i32x4.add(i32x4.splat(k >> 1), i32x4(0, 1, 2, 3))
      threefry(pairs, i32x4.splat(n), out)
      normalPair(out, deviation)
      const c = v128.load(out), s = v128.load(out, 16)
      v128.store(out, v128.shuffle<f32>(c, s, 0, 4, 1, 5))
      v128.store(out, v128.shuffle<f32>(c, s, 2, 6, 3, 7), 16)
      put(out, row + <usize>k * 4, K - k, 8)
    }
  }
}

/** Copies `most` numbers, 4 or 8, or the `left` that remain of the row. */
// @ts-ignore: decorator
@inline
function put(from: usize, to: usize, left: u32, most: u32): void {
  if (left < most) {
    for (let i: usize = 0; i < left; i++) store<f32>(to + i * 4, load<f32>(from + i * 4))
    return
  }
  v128.store(to, v128.load(from))
  if (most === 8) v128.store(to, v128.load(from, 16), 16)
}
