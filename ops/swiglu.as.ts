// y = silu(g)·v for the two halves g, v of each row, silu(g) = g / (1 + e^-g).
// Parallel plan: one row per work item. Bytes: u read and y written once.
import { expVector } from "./math.as"

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
