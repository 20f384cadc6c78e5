// lse = ln Σ exp(logits), nll = lse − Σ wanted·logits per row, with wanted = (1 − smoothing)·onehot +
// smoothing / V, and the gradient of both over the logits. Parallel plan: one row per work item.
// Bytes: logits read once from memory, a second time from the L2 cache, for the maximum and the
// sum; the gradient reads and writes them once.
import { expVector, logScalar, sumLanes } from "../shared/math.as"
import { rowMax } from "../plain/reduce.as"
import { expSum } from "./softmax.as"

/** Σ of a row; blocks of 4096 numbers in f32 lanes, the blocks in f64. */
function rowSum(row: usize, V: u32): f64 {
  const end = row + ((<usize>V) << 2)
  let total: f64 = 0
  while (row + 16 <= end) {
    const stop = min(end, row + 16384)
    let a = f32x4.splat(0)
    for (; row + 16 <= stop; row += 16) a = f32x4.add(a, v128.load(row))
    total += sumLanes(a)
  }
  for (; row < end; row += 4) total += load<f32>(row)
  return total
}

export function crossEntropy(
  logits: usize, targets: usize, nll: usize, lse: usize,
  N: u32, V: u32, smoothing: f32, begin: u32, end: u32,
): void {
  for (let n = <usize>begin; n < end; n++) {
    const row = logits + ((n * V) << 2)
    const top = rowMax(row, V)
    const value = top + logScalar(<f32>expSum(row, V, top))
    const target = load<u32>(targets + (n << 2))
    let chosen: f32 = target < V ? load<f32>(row + ((<usize>target) << 2)) : 0
    if (smoothing > 0) {
      chosen = chosen * (1 - smoothing) + <f32>(rowSum(row, V) / <f64>V) * smoothing
    }
    store<f32>(lse + (n << 2), value)
    store<f32>(nll + (n << 2), value - chosen)
  }
}

/** d = (dnll + dlse)·softmax − dnll·wanted in the memory of the logits */
export function crossEntropyGrad(
  logits: usize, targets: usize, lse: usize, dnll: usize, dlse: usize,
  N: u32, V: u32, smoothing: f32, begin: u32, end: u32,
): void {
  for (let n = <usize>begin; n < end; n++) {
    const first = logits + ((n * V) << 2)
    const last = first + ((<usize>V) << 2)
    const weight = load<f32>(dnll + (n << 2))
    const all = weight + load<f32>(dlse + (n << 2))
    const shift = f32x4.splat(load<f32>(lse + (n << 2)))
    const scale = f32x4.splat(all)
    const least = f32x4.splat(weight * smoothing / <f32>V)
    let x = first
    // A row without weight (an ignored target) is zeros even where its logits are not finite.
    if (all === 0 && weight === 0) {
      memory.fill(first, 0, (<usize>V) << 2)
      continue
    }
    for (; x + 16 <= last; x += 16) {
      const p = expVector(f32x4.sub(v128.load(x), shift))
      v128.store(x, f32x4.sub(f32x4.mul(p, scale), least))
    }
    for (; x < last; x += 4) {
      const p = expVector(f32x4.sub(v128.load32_zero(x), shift))
      v128.store32_lane(x, f32x4.sub(f32x4.mul(p, scale), least), 0)
    }
    const target = load<u32>(targets + (n << 2))
    if (target >= V) continue
    const at = first + ((<usize>target) << 2)
    store<f32>(at, load<f32>(at) - weight * (1 - smoothing))
  }
}
