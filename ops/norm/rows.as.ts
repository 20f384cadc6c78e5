// The primitives of a naive RMSNorm: mean of a row, a row times a number, a row times a row.
// Parallel plan: one row per work item. Bytes: each input read and each output written once.
import { sumLanes } from "../shared/math.as"

export function meanRows(x: usize, y: usize, N: u32, D: u32, begin: u32, end: u32): void {
  const bytes = (<usize>D) << 2
  const whole = bytes & ~15
  for (let n = begin; n < end; n++) {
    const row = x + (<usize>n) * bytes
    let lanes = f32x4.splat(0)
    let j: usize = 0
    for (; j < whole; j += 16) lanes = f32x4.add(lanes, v128.load(row + j))
    let total = sumLanes(lanes)
    for (; j < bytes; j += 4) total += load<f32>(row + j)
    store<f32>(y + ((<usize>n) << 2), total / <f32>D)
  }
}

export function scaleRows(
  x: usize, r: usize, y: usize, N: u32, D: u32, begin: u32, end: u32,
): void {
  const bytes = (<usize>D) << 2
  const whole = bytes & ~15
  for (let n = begin; n < end; n++) {
    const at = (<usize>n) * bytes
    const by = load<f32>(r + ((<usize>n) << 2))
    const lanes = f32x4.splat(by)
    let j: usize = 0
    for (; j < whole; j += 16) v128.store(y + at + j, f32x4.mul(v128.load(x + at + j), lanes))
    for (; j < bytes; j += 4) store<f32>(y + at + j, load<f32>(x + at + j) * by)
  }
}

export function scaleColumns(
  x: usize, w: usize, y: usize, N: u32, D: u32, begin: u32, end: u32,
): void {
  const bytes = (<usize>D) << 2
  const whole = bytes & ~15
  for (let n = begin; n < end; n++) {
    const at = (<usize>n) * bytes
    let j: usize = 0
    for (; j < whole; j += 16) {
      v128.store(y + at + j, f32x4.mul(v128.load(x + at + j), v128.load(w + j)))
    }
    for (; j < bytes; j += 4) store<f32>(y + at + j, load<f32>(x + at + j) * load<f32>(w + j))
  }
}
