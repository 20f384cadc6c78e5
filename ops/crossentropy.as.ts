// lse = ln Σ exp(logits), nll = lse − logits[target] per row; a target outside the row counts as
// logit 0. Parallel plan: one row per work item. Bytes: logits read once from memory, a second time
// from the L2 cache, for the maximum and the sum.
import { logScalar } from "./math.as"
import { expSum, rowMax } from "./softmax.as"

export function crossEntropy(
  logits: usize, targets: usize, nll: usize, lse: usize, N: u32, V: u32, begin: u32, end: u32,
): void {
  for (let n = <usize>begin; n < end; n++) {
    const row = logits + ((n * V) << 2)
    const top = rowMax(row, V)
    const value = top + logScalar(<f32>expSum(row, V, top))
    const target = load<u32>(targets + (n << 2))
    const chosen: f32 = target < V ? load<f32>(row + ((<usize>target) << 2)) : 0
    store<f32>(lse + (n << 2), value)
    store<f32>(nll + (n << 2), value - chosen)
  }
}
