// x[n] = E[ids[n]] in f32, out of the panels of the output product. Parallel over n. A row is every
// sixteenth number of a panel, so that each of its numbers costs the reading of 32 or 64 bytes.
import { itemBytes, loadOne } from "./half.as"

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
