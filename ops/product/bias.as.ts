// y = x + b of each row, alone and with an activation: max(u, 0) or u·Φ(u), Φ(u) = ½·erfc(−u/√2), and
// the cotangents of u. Parallel plan: one row per work item. Bytes: each input read, the output written once.
import { erfcVector, expVector } from "../shared/math.as"
import { madd } from "../shared/simd.as"

const sqrtHalf: f32 = 0.7071067811865476

// @ts-ignore: decorator
@inline
function relu(u: v128): v128 {
  // NaN stays what it is.
  return f32x4.max(u, f32x4.splat(0))
}

// @ts-ignore: decorator
@inline
function share(u: v128): v128 {
  return f32x4.mul(f32x4.splat(0.5), erfcVector(f32x4.mul(u, f32x4.splat(-sqrtHalf))))
}

// @ts-ignore: decorator
@inline
function gelu(u: v128): v128 {
  return f32x4.mul(u, share(u))
}

/** Φ(u) + u·φ(u), φ(u) = e^(−½u²)/√(2π) */
// @ts-ignore: decorator
@inline
function geluSlope(u: v128): v128 {
  const density = expVector(f32x4.mul(f32x4.mul(u, u), f32x4.splat(-0.5)))
  return madd(f32x4.mul(u, f32x4.splat(0.3989422804014327)), density, share(u))
}

export function addBias(x: usize, b: usize, N: u32, D: u32, begin: u32, end: u32): void {
  const bytes = (<usize>D) << 2
  for (let n = <usize>begin; n < end; n++) {
    const row = x + n * bytes
    let i: usize = 0
    for (; i + 16 <= bytes; i += 16) {
      v128.store(row + i, f32x4.add(v128.load(row + i), v128.load(b + i)))
    }
    for (; i < bytes; i += 4) store<f32>(row + i, load<f32>(row + i) + load<f32>(b + i))
  }
}

export function biasRelu(x: usize, b: usize, N: u32, D: u32, begin: u32, end: u32): void {
  const bytes = (<usize>D) << 2
  for (let n = <usize>begin; n < end; n++) {
    const row = x + n * bytes
    let i: usize = 0
    for (; i + 16 <= bytes; i += 16) {
      v128.store(row + i, relu(f32x4.add(v128.load(row + i), v128.load(b + i))))
    }
    for (; i < bytes; i += 4) {
      const u = f32x4.add(v128.load32_zero(row + i), v128.load32_zero(b + i))
      v128.store32_lane(row + i, relu(u), 0)
    }
  }
}

export function reluGrad(
  y: usize, dy: usize, du: usize, N: u32, D: u32, begin: u32, end: u32,
): void {
  const bytes = (<usize>D) << 2
  const last = end * bytes
  let i = begin * bytes
  for (; i + 16 <= last; i += 16) {
    const isAbove = f32x4.gt(v128.load(y + i), f32x4.splat(0))
    v128.store(du + i, v128.and(v128.load(dy + i), isAbove))
  }
  for (; i < last; i += 4) store<f32>(du + i, load<f32>(y + i) > 0 ? load<f32>(dy + i) : 0)
}

/** Columns of a work item of biasGelu: one row alone is shared by the threads, too. */
const columnsPerItem: usize = 1024

export function biasGelu(
  x: usize, b: usize, y: usize, N: u32, D: u32, begin: u32, end: u32,
): void {
  const items = ((<usize>D) + columnsPerItem - 1) / columnsPerItem
  for (let item = <usize>begin; item < end; item++) {
    const row = (item / items) * D
    const d = (item % items) * columnsPerItem
    const last = min(d + columnsPerItem, <usize>D)
    geluOf(x + ((row + d) << 2), b + (d << 2), y + ((row + d) << 2), (last - d) << 2)
  }
}

// Two vectors side by side: V8 fuses such pairs where it can.
function geluOf(x: usize, b: usize, y: usize, bytes: usize): void {
  let i: usize = 0
  for (; i + 32 <= bytes; i += 32) {
    const u = f32x4.add(v128.load(x + i), v128.load(b + i))
    const v = f32x4.add(v128.load(x + i, 16), v128.load(b + i, 16))
    const s = gelu(u), t = gelu(v)
    v128.store(y + i, s); v128.store(y + i, t, 16)
  }
  for (; i < bytes; i += 4) {
    const u = f32x4.add(v128.load32_zero(x + i), v128.load32_zero(b + i))
    v128.store32_lane(y + i, gelu(u), 0)
  }
}

export function biasGeluGrad(
  x: usize, b: usize, dy: usize, du: usize, N: u32, D: u32, begin: u32, end: u32,
): void {
  const bytes = (<usize>D) << 2
  for (let n = <usize>begin; n < end; n++) {
    const at = n * bytes
    let i: usize = 0
    for (; i + 16 <= bytes; i += 16) {
      const u = f32x4.add(v128.load(x + at + i), v128.load(b + i))
      v128.store(du + at + i, f32x4.mul(v128.load(dy + at + i), geluSlope(u)))
    }
    for (; i < bytes; i += 4) {
      const u = f32x4.add(v128.load32_zero(x + at + i), v128.load32_zero(b + i))
      const slope = f32x4.mul(v128.load32_zero(dy + at + i), geluSlope(u))
      v128.store32_lane(du + at + i, slope, 0)
    }
  }
}
