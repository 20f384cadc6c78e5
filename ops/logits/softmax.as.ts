// y = exp(x − max x) / Σ exp(x − max x) over the last axis, and the row passes that cross-entropy
// shares. Parallel plan: one row per work item. Bytes: x read once from memory, y written; further
// passes run in the L2 cache. Lanes sum 4096 numbers in f32, the blocks are summed in f64.
import { rowMax } from "../plain/reduce.as"
import { expScalar, expVector, sumLanes } from "../shared/math.as"

const blockBytes: usize = 16384

/** y = exp(x − top) where y is not 0; returns the sum. */
// @ts-ignore: decorator
@inline
function expSumOf(x: usize, y: usize, D: u32, top: f32, keep: bool): f64 {
  const shift = f32x4.splat(top)
  const end = x + ((<usize>D) << 2)
  let total: f64 = 0
  while (x + 16 <= end) {
    const stop = min(end, x + blockBytes)
    let a = f32x4.splat(0)
    let b = a
    for (; x + 32 <= stop; x += 32) {
      const e0 = expVector(f32x4.sub(v128.load(x), shift))
      const e1 = expVector(f32x4.sub(v128.load(x, 16), shift))
      if (keep) {
        v128.store(y, e0)
        v128.store(y, e1, 16)
        y += 32
      }
      a = f32x4.add(a, e0)
      b = f32x4.add(b, e1)
    }
    for (; x + 16 <= stop; x += 16) {
      const e0 = expVector(f32x4.sub(v128.load(x), shift))
      if (keep) {
        v128.store(y, e0)
        y += 16
      }
      a = f32x4.add(a, e0)
    }
    total += sumLanes(f32x4.add(a, b))
  }
  for (; x < end; x += 4) {
    const e = expScalar(load<f32>(x) - top)
    if (keep) {
      store<f32>(y, e)
      y += 4
    }
    total += e
  }
  return total
}

/** Σ exp(x − top) over D numbers. */
export function expSum(x: usize, D: u32, top: f32): f64 {
  return expSumOf(x, 0, D, top, false)
}

/** y = exp(x − top) over D numbers; returns the sum. */
function expRow(x: usize, y: usize, D: u32, top: f32): f64 {
  return expSumOf(x, y, D, top, true)
}

export function softmax(x: usize, y: usize, N: u32, D: u32, begin: u32, end: u32): void {
  const bytes = (<usize>D) << 2
  for (let n = <usize>begin; n < end; n++) {
    const row = x + n * bytes
    let out = y + n * bytes
    const last = out + bytes
    const share = <f32>(1 / expRow(row, out, D, rowMax(row, D)))
    for (; out + 16 <= last; out += 16) {
      v128.store(out, f32x4.mul(v128.load(out), f32x4.splat(share)))
    }
    for (; out < last; out += 4) store<f32>(out, load<f32>(out) * share)
  }
}
