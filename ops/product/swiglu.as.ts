// y = silu(g)·v for the two halves g, v of each row, silu(g) = g / (1 + e^-g).
// The forms with panels have g and v in alternating runs of 16, zeros beside the F pairs.
// Parallel plan: one row per work item. Bytes: u (and dy) read and y (or du) written once.
import { expVector } from "../shared/math.as"

// @ts-ignore: decorator
@inline
function gate(g: v128, v: v128): v128 {
  const e = expVector(f32x4.neg(g))
  return f32x4.mul(f32x4.div(g, f32x4.add(e, f32x4.splat(1))), v)
}

export function swiglu(u: usize, y: usize, N: u32, F: u32, begin: u32, end: u32): void {
  const bytes = (<usize>F) << 2
  for (let n = <usize>begin; n < end; n++) {
    let g = u + 2 * n * bytes
    let out = y + n * bytes
    const last = out + bytes
    for (; out + 16 <= last; out += 16, g += 16) {
      v128.store(out, gate(v128.load(g), v128.load(g + bytes)))
    }
    for (; out < last; out += 4, g += 4) {
      v128.store32_lane(out, gate(v128.load32_zero(g), v128.load32_zero(g + bytes)), 0)
    }
  }
}

/** u (N, 32P) → y (N, F) */
export function swigluPanels(
  u: usize, y: usize, N: u32, P: u32, F: u32, begin: u32, end: u32,
): void {
  for (let n = <usize>begin; n < end; n++) {
    let out = y + ((n * F) << 2)
    const last = out + ((<usize>F) << 2)
    for (let g = u + ((n * P) << 7); out < last; g += 64) {
      const stop = g + 64
      for (; g < stop && out + 16 <= last; g += 16, out += 16) {
        v128.store(out, gate(v128.load(g), v128.load(g, 64)))
      }
      // Only within a panel: after its gates lie its values.
      for (; g < stop && out < last; g += 4, out += 4) {
        v128.store32_lane(out, gate(v128.load32_zero(g), v128.load32_zero(g, 64)), 0)
      }
    }
  }
}

/** Stores dg = dy·v·s·(1 + g·(1 − s)) and dv = dy·g·s with s = 1 / (1 + e^-g), 64 bytes apart. */
// @ts-ignore: decorator
@inline
function storeGrad(g: v128, v: v128, dy: v128, out: usize): void {
  const one = f32x4.splat(1)
  const s = f32x4.div(one, f32x4.add(one, expVector(f32x4.neg(g))))
  const silu = f32x4.mul(g, s)
  // s·(1 + g·(1 − s)) = s + silu·(1 − s)
  const slope = f32x4.add(s, f32x4.mul(silu, f32x4.sub(one, s)))
  v128.store(out, f32x4.mul(f32x4.mul(dy, v), slope))
  v128.store(out, f32x4.mul(dy, silu), 64)
}

/** The first `count` numbers at p, zeros beside them. */
// @ts-ignore: decorator
@inline
function loadSome(p: usize, count: u32): v128 {
  if (count >= 4) return v128.load(p)
  let x = f32x4.splat(0)
  if (count > 0) x = v128.load32_zero(p)
  if (count > 1) x = v128.load32_lane(p, x, 1, 4)
  if (count > 2) x = v128.load32_lane(p, x, 2, 8)
  return x
}

/** u (N, 32P), dy (N, F) → du (N, 32P) */
export function swigluPanelsGrad(
  u: usize, dy: usize, du: usize, N: u32, P: u32, F: u32, begin: u32, end: u32,
): void {
  for (let n = <usize>begin; n < end; n++) {
    let g = u + ((n * P) << 7)
    let out = du + ((n * P) << 7)
    const d = dy + ((n * F) << 2)
    for (let f: u32 = 0; f < P << 4; f += 16, g += 64, out += 64) {
      for (let j: u32 = 0; j < 16; j += 4, g += 16, out += 16) {
        const at = f + j
        const count = at < F ? F - at : 0
        storeGrad(v128.load(g), v128.load(g, 64), loadSome(d + ((<usize>at) << 2), count), out)
      }
    }
  }
}
