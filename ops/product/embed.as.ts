// x[n] = E[ids[n]] in f32, out of the panels of the output product. Parallel over n. A row is every
// sixteenth number of a panel, so that each of its numbers costs the reading of 32 or 64 bytes.
// The gradient is parallel over the columns D: every thread goes through all ids in order, so that
// equal ids are added alike on any number of threads.
import { itemBytes, loadOne } from "../shared/half.as"

/** ids (N), w (P, D, 16) → x (N, D) */
export function embed(
  ids: usize, w: usize, x: usize, N: u32, P: u32, D: u32, wType: u32, begin: u32, end: u32,
): void {
  const step = itemBytes(wType) * 16
  for (let n = begin; n < end; n++) {
    const id = load<u32>(ids + <usize>n * 4)
    let from = w + <usize>(id >> 4) * D * step + (id & 15) * itemBytes(wType)
    let to = x + <usize>n * D * 4
    const last = to + <usize>D * 4
    while (to < last) {
      store<f32>(to, loadOne(from, wType))
      from += step
      to += 4
    }
  }
}

/** ids (N), dx (N, D), sum (P, D, 16) → dw (P, D, 16) in the memory of sum */
export function embedGrad(
  ids: usize, dx: usize, sum: usize,
  N: u32, D: u32, P: u32, Padding: u32, begin: u32, end: u32,
): void {
  for (let n: u32 = 0; n < N; n++) {
    const id = load<u32>(ids + <usize>n * 4)
    if (id === Padding) continue
    let to = sum + ((<usize>(id >> 4) * D + begin) * 16 + (id & 15)) * 4
    let from = dx + (<usize>n * D + begin) * 4
    const last = dx + (<usize>n * D + end) * 4
    for (; from < last; from += 4, to += 64) store<f32>(to, load<f32>(to) + load<f32>(from))
  }
}
