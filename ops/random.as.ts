// Threefry-2x32-20 in four lanes, the bits of engine/random.ts, and from it uniform and normal
// numbers. Parallel over rows. Bytes: the output, written once.
//   u = (word >> 9 + ½)·2^-23,   z = √(−2 ln u₁)·(cos, sin)(2π u₂)  (Box-Muller)
// The angle is reduced to ±π/4 in integers: sine and cosine are right to about 1e-7 of their value
// next to their zeros too.
import { scratch } from "../backends/wasm/thread.as"
import { logVector } from "./math.as"
import { madd } from "./simd.as"

// @ts-ignore: decorator
@inline
function turn(y: v128, r: i32, x: v128): v128 {
  return v128.xor(v128.or(i32x4.shl(y, r), i32x4.shr_u(y, 32 - r)), x)
}

/** Stores the two words of four blocks: key (k0, k1), counters (c0, c1) → out, out + 16. */
// @ts-ignore: decorator
@inline
export function threefry(k0: u32, k1: u32, c0: v128, c1: v128, out: usize): void {
  const a = i32x4.splat(k0), b = i32x4.splat(k1), c = i32x4.splat(k0 ^ k1 ^ 0x1bd11bda)
  let x = i32x4.add(c0, a)
  let y = i32x4.add(c1, b)
  x = i32x4.add(x, y); y = turn(y, 13, x)
  x = i32x4.add(x, y); y = turn(y, 15, x)
  x = i32x4.add(x, y); y = turn(y, 26, x)
  x = i32x4.add(x, y); y = turn(y, 6, x)
  x = i32x4.add(x, b); y = i32x4.add(y, i32x4.splat((k0 ^ k1 ^ 0x1bd11bda) + 1))
  x = i32x4.add(x, y); y = turn(y, 17, x)
  x = i32x4.add(x, y); y = turn(y, 29, x)
  x = i32x4.add(x, y); y = turn(y, 16, x)
  x = i32x4.add(x, y); y = turn(y, 24, x)
  x = i32x4.add(x, c); y = i32x4.add(y, i32x4.splat(k0 + 2))
  x = i32x4.add(x, y); y = turn(y, 13, x)
  x = i32x4.add(x, y); y = turn(y, 15, x)
  x = i32x4.add(x, y); y = turn(y, 26, x)
  x = i32x4.add(x, y); y = turn(y, 6, x)
  x = i32x4.add(x, a); y = i32x4.add(y, i32x4.splat(k1 + 3))
  x = i32x4.add(x, y); y = turn(y, 17, x)
  x = i32x4.add(x, y); y = turn(y, 29, x)
  x = i32x4.add(x, y); y = turn(y, 16, x)
  x = i32x4.add(x, y); y = turn(y, 24, x)
  x = i32x4.add(x, b); y = i32x4.add(y, i32x4.splat((k0 ^ k1 ^ 0x1bd11bda) + 4))
  x = i32x4.add(x, y); y = turn(y, 13, x)
  x = i32x4.add(x, y); y = turn(y, 15, x)
  x = i32x4.add(x, y); y = turn(y, 26, x)
  x = i32x4.add(x, y); y = turn(y, 6, x)
  v128.store(out, i32x4.add(x, c))
  v128.store(out, i32x4.add(y, i32x4.splat(k0 + 5)), 16)
}

// @ts-ignore: decorator
@inline
function toUnit(word: v128): v128 {
  const middle = f32x4.add(f32x4.convert_i32x4_u(i32x4.shr_u(word, 9)), f32x4.splat(0.5))
  return f32x4.mul(middle, f32x4.splat(1.1920928955078125e-7))
}

/** Replaces the two words of four blocks by std·z of columns 2i (at) and 2i + 1 (at + 16). */
// @ts-ignore: decorator
@inline
export function normalPair(at: usize, std: v128): void {
  const log = logVector(toUnit(v128.load(at)))
  const r = f32x4.mul(f32x4.sqrt(f32x4.mul(log, f32x4.splat(-2))), std)
  const turns = i32x4.shr_u(v128.load(at, 16), 9)
  const quarter = i32x4.shr_u(i32x4.add(turns, i32x4.splat(1 << 20)), 21)
  const rest = f32x4.convert_i32x4_s(i32x4.sub(turns, i32x4.shl(quarter, 21)))
  const x = f32x4.mul(f32x4.add(rest, f32x4.splat(0.5)), f32x4.splat(7.490140565847157e-7))
  const z = f32x4.mul(x, x)
  let s = madd(z, f32x4.splat(-1.9515295891e-4), f32x4.splat(8.3321608736e-3))
  s = madd(s, z, f32x4.splat(-1.6666654611e-1))
  s = madd(f32x4.mul(s, z), x, x)
  let c = madd(z, f32x4.splat(2.443315711809948e-5), f32x4.splat(-1.388731625493765e-3))
  c = madd(c, z, f32x4.splat(4.166664568298827e-2))
  c = madd(f32x4.mul(c, z), z, madd(z, f32x4.splat(-0.5), f32x4.splat(1)))
  const swap = i32x4.shr_s(i32x4.shl(quarter, 31), 31)
  const cosine = v128.bitselect(s, c, swap)
  const sine = v128.bitselect(c, s, swap)
  const negative = i32x4.add(quarter, i32x4.splat(1))
  const top = i32x4.splat(0x80000000)
  v128.store(at, f32x4.mul(r, v128.xor(cosine, v128.and(i32x4.shl(negative, 30), top))))
  v128.store(at, f32x4.mul(r, v128.xor(sine, v128.and(i32x4.shl(quarter, 30), top))), 16)
}

/** seed (1), stream (N) → u (N, K) */
export function randomUniform(
  seed: usize, stream: usize, u: usize, N: u32, K: u32, begin: u32, end: u32,
): void {
  const out = scratch()
  const key = load<u32>(seed)
  for (let n = begin; n < end; n++) {
    const row = u + <usize>n * K * 4
    for (let k: u32 = 0; k < K; k += 4) {
      const columns = i32x4.add(i32x4.splat(k), i32x4(0, 1, 2, 3))
      threefry(key, load<u32>(stream + <usize>n * 4), columns, i32x4.splat(n), out)
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
  for (let n = begin; n < end; n++) {
    const row = z + <usize>n * K * 4
    for (let k: u32 = 0; k < K; k += 8) {
      const pairs = i32x4.add(i32x4.splat(k >> 1), i32x4(0, 1, 2, 3))
      threefry(Seed, Stream, pairs, i32x4.splat(n), out)
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
