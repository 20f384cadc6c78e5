// Rows of numbers into blocks of whole numbers and back (quantized_pack.ts). Parallel over
// panels. A block is made output by output: 32 numbers are widened into scratch, their scale is
// found, and the quotients are rounded to nearest, ties to even.
// Bytes: the matrix once, its blocks once.
import { firstRow, panelRows } from "./pack.as"
import { scratch } from "../../backends/wasm/thread.as"
import { itemBytes, loadFour, loadOne } from "../shared/half.as"
import { maxLanes, sumLanes } from "../shared/math.as"
import { expandBlock, q8Bytes } from "./quantized_block.as"

// Scratch: 32 numbers of one output, then as many whole numbers; a block in f32 further on.
// @ts-ignore: decorator
@inline
function numbers(): usize { return scratch() }
// @ts-ignore: decorator
@inline
function wholes(): usize { return scratch() + 128 }
// @ts-ignore: decorator
@inline
function expanded(): usize { return scratch() + 256 }

/** 32 numbers from x on into scratch, zeros from `count` on; returns how many are not finite. */
function gather(x: usize, count: u32, xType: u32): u32 {
  const to = numbers()
  let lost = i32x4.splat(0)
  if (count < 32) {
    memory.fill(to, 0, 128)
    for (let k: u32 = 0; k < count; k++) {
      store<f32>(to + <usize>k * 4, loadOne(x + itemBytes(xType) * k, xType))
    }
  } else {
    for (let k: usize = 0; k < 32; k += 4) {
      v128.store(to + k * 4, loadFour(x + itemBytes(xType) * k, xType))
    }
  }
  for (let at: usize = 0; at < 128; at += 16) {
    const v = v128.load(to + at)
    // x − x is 0 for finite numbers and NaN for the rest.
    lost = i32x4.sub(lost, f32x4.ne(f32x4.sub(v, v), f32x4.splat(0)))
  }
  return i32x4.extract_lane(lost, 0) + i32x4.extract_lane(lost, 1) +
    i32x4.extract_lane(lost, 2) + i32x4.extract_lane(lost, 3)
}

/** Largest magnitude of the 32 numbers. */
function largest(): f32 {
  let most = f32x4.splat(0)
  for (let at: usize = 0; at < 128; at += 16) {
    most = f32x4.max(most, f32x4.abs(v128.load(numbers() + at)))
  }
  return maxLanes(most)
}

/** The first of the numbers farthest from 0. */
function farthest(): f32 {
  const most = largest()
  for (let at: usize = 0; at < 128; at += 4) {
    const value = load<f32>(numbers() + at)
    if (abs<f32>(value) === most) return value
  }
  return 0
}

/** Bits of the nearest bf16, ties to even. */
// @ts-ignore: decorator
@inline
function bitsOf(scale: f32): u32 {
  const bits = reinterpret<u32>(scale)
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16
}

/** Bits of the scale of least Σ w²·(w − scale·number)² among 19 roundings: a rounding's best scale
 *  is Σ w³·number / Σ w²·number², and takes off the more the larger the first squared over the
 *  second is. */
function searched(most: f32): u32 {
  const low = f32x4.splat(-8), high = f32x4.splat(7)
  let best: f32 = 0
  let scale: f32 = most / -8
  for (let i = 0; i < 19; i++) {
    const factor = f32x4.splat(<f32>(-8 + <f64>(i - 9) / 10) / most)
    let along = f32x4.splat(0), square = f32x4.splat(0)
    for (let at: usize = 0; at < 128; at += 16) {
      const w = v128.load(numbers() + at)
      const whole = f32x4.max(f32x4.min(f32x4.nearest(f32x4.mul(w, factor)), high), low)
      const weighted = f32x4.mul(f32x4.mul(w, w), whole)
      along = f32x4.add(along, f32x4.mul(weighted, w))
      square = f32x4.add(square, f32x4.mul(weighted, whole))
    }
    const a = sumLanes(along), b = sumLanes(square)
    if (b > 0 && a * a > best * b) {
      best = a * a / b
      scale = a / b
    }
  }
  return bitsOf(scale)
}

/** Bits of the scale of the 32 numbers. */
function scaleBits(Z: u32, Search: u32): u32 {
  // Rounded up for q8, so that nothing is cut off.
  if (Z === q8Bytes) return (reinterpret<u32>(largest() / 127) + 0xffff) >> 16
  const most = farthest()
  if (most === 0) return 0
  return Search ? searched(most) : bitsOf(most / -8)
}

/** Numbers over their scale, rounded, within bounds. */
function round(bits: u32, Z: u32): void {
  const scale = f32x4.splat(reinterpret<f32>(bits ? bits << 16 : 0x3f800000))
  const bound: f32 = Z === q8Bytes ? 127 : 7
  const low = f32x4.splat(Z === q8Bytes ? -127 : -8), high = f32x4.splat(bound)
  for (let at: usize = 0; at < 128; at += 16) {
    const quotient = f32x4.nearest(f32x4.div(v128.load(numbers() + at), scale))
    const within = f32x4.max(f32x4.min(quotient, high), low)
    v128.store(wholes() + at, i32x4.trunc_sat_f32x4_s(within))
  }
}

/** Puts the whole numbers of output n in their places in a block. */
function place(w: usize, n: usize, Z: u32): void {
  let from = wholes()
  if (Z === q8Bytes) {
    for (let to = w + 2 * n, end = to + 512; to < end; to += 32, from += 8) {
      store<u8>(to, <u8>load<i32>(from))
      store<u8>(to, <u8>load<i32>(from, 4), 1)
    }
    return
  }
  for (let to = w + 4 * n, end = to + 256; to < end; to += 64, from += 32) {
    for (let i: usize = 0; i < 4; i++) {
      const low = load<i32>(from + 4 * i) + 8, high = load<i32>(from + 4 * i, 16) + 8
      store<u8>(to + i, <u8>(low | (high << 4)))
    }
  }
}

/** x (N, K) → w (P, C, Z), bad (P) */
export function quantize(
  x: usize, w: usize, bad: usize,
  N: u32, K: u32, P: u32, C: u32, Z: u32, Halves: u32, Search: u32, xType: u32,
  begin: u32, end: u32,
): void {
  const stride = itemBytes(xType) * K
  for (let p = begin; p < end; p++) {
    const rows = panelRows(p, N, Halves)
    const from = x + stride * firstRow(p, N, Halves)
    let lost: u32 = 0
    for (let c: u32 = 0; c < C; c++) {
      const block = w + (<usize>p * C + c) * Z
      const count = min<u32>(K - c * 32, 32)
      for (let n: u32 = 0; n < 16; n++) {
        lost += gather(from + stride * n + itemBytes(xType) * c * 32, n < rows ? count : 0, xType)
        const bits = scaleBits(Z, Search)
        round(bits, Z)
        place(block, n, Z)
        store<u16>(block + Z - 32 + 2 * n, <u16>bits)
      }
    }
    store<f32>(bad + <usize>p * 4, <f32>lost)
  }
}

/** w (P, C, Z) → x (N, K) */
export function dequantize(
  w: usize, x: usize,
  P: u32, C: u32, Z: u32, N: u32, K: u32, Halves: u32, begin: u32, end: u32,
): void {
  const stride = <usize>K * 4
  for (let p = begin; p < end; p++) {
    const rows = panelRows(p, N, Halves)
    const to = x + stride * firstRow(p, N, Halves)
    for (let c: u32 = 0; c < C; c++) {
      expandBlock(w + (<usize>p * C + c) * Z, Z, expanded())
      const count = min<u32>(K - c * 32, 32)
      for (let n: u32 = 0; n < rows; n++) {
        let out = to + stride * n + <usize>c * 128
        let from = expanded() + <usize>n * 4
        for (const last = out + <usize>count * 4; out < last; out += 4, from += 64) {
          store<f32>(out, load<f32>(from))
        }
      }
    }
  }
}
