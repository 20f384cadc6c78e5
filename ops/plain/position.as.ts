// Where sequences stand: last' = next, next' = next + 1, and the positions of their tokens. One row: a
// handful of numbers.

export function advance(position: usize, next: usize, B: u32, begin: u32, end: u32): void {
  if (begin === end) return
  for (let b: usize = 0; b < <usize>B; b++) {
    const value = load<i32>(next + 4 * b)
    store<i32>(position + 4 * b, value)
    store<i32>(next + 4 * b, value + 1)
  }
}

export function positionIds(
  position: usize, ids: usize, B: u32, T: u32, Offset: u32, begin: u32, end: u32,
): void {
  if (begin === end) return
  for (let b: usize = 0; b < <usize>B; b++) {
    const first = load<i32>(position + 4 * b) + <i32>Offset
    for (let t: u32 = 0; t < T; t++, ids += 4) store<i32>(ids, first + <i32>t)
  }
}
