// Sums of products, which are kept in scratch, row by row a panel's or two, and delivered to y at the end:
// as they are, added to what is there, or gates times values.
import { scratch } from "../../backends/wasm/thread.as"
import { expVector } from "../shared/math.as"

// @ts-ignore: decorator
@inline
export function sums(): usize { return scratch() }

/** Makes so many bytes of sums 0. */
export function clear(c: usize, bytes: usize): void {
  const zero = f32x4.splat(0)
  for (const end = c + bytes; c < end; c += 64) {
    v128.store(c, zero); v128.store(c, zero, 16)
    v128.store(c, zero, 32); v128.store(c, zero, 48)
  }
}

/** y (rows, columns) ← sums · factor, or += where a part of the depth has gone before. */
export function deliver(
  y: usize, stride: usize, rows: u32, columns: u32, factor: f32, more: bool,
): void {
  const scale = f32x4.splat(factor)
  const end = sums() + <usize>rows * 64
  for (let c = sums(); c < end; c += 64) {
    if (columns === 16) {
      for (let j: usize = 0; j < 64; j += 16) {
        const before = more ? v128.load(y + j) : f32x4.splat(0)
        v128.store(y + j, f32x4.add(before, f32x4.mul(v128.load(c + j), scale)))
      }
    } else deliverNumbers(y, c, columns, factor, more)
    y += stride
  }
}

/** The same number by number. */
// @ts-ignore: decorator
@inline
function deliverNumbers(y: usize, c: usize, count: u32, factor: f32, more: bool): void {
  for (let j: usize = 0; j < count; j++) {
    const before: f32 = more ? load<f32>(y + j * 4) : 0
    store<f32>(y + j * 4, before + load<f32>(c + j * 4) * factor)
  }
}

/** y (columns) ← sums · factor, or +=, of one row and up to two panels. */
export function deliverRow(y: usize, columns: u32, factor: f32, more: bool): void {
  deliver(y, 64, columns >> 4, 16, factor, more)
  const whole = <usize>(columns & ~15) * 4
  deliverNumbers(y + whole, sums() + whole, columns & 15, factor, more)
}

/** y (rows, columns) ← silu(g)·v for the sums g, v of each row, times `factor`. */
export function gate(y: usize, stride: usize, rows: u32, columns: u32, factor: f32): void {
  const one = f32x4.splat(1)
  const scale = f32x4.splat(factor)
  const end = sums() + <usize>rows * 128
  for (let c = sums(); c < end; c += 128) {
    for (let j: usize = 0; j < 64; j += 16) {
      const g = f32x4.mul(v128.load(c + j), scale)
      const v = f32x4.mul(v128.load(c + j, 64), scale)
      const silu = f32x4.div(g, f32x4.add(one, expVector(f32x4.neg(g))))
      v128.store(c + j, f32x4.mul(silu, v))
    }
    if (columns === 16) {
      v128.store(y, v128.load(c)); v128.store(y, v128.load(c, 16), 16)
      v128.store(y, v128.load(c, 32), 32); v128.store(y, v128.load(c, 48), 48)
    } else {
      for (let j: usize = 0; j < columns; j++) store<f32>(y + j * 4, load<f32>(c + j * 4))
    }
    y += stride
  }
}
