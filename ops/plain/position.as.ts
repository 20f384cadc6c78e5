// last' = next, next' = next + 1. One row: a handful of numbers.

export function advance(position: usize, next: usize, B: u32, begin: u32, end: u32): void {
  if (begin === end) return
  for (let b: usize = 0; b < <usize>B; b++) {
    const value = load<i32>(next + 4 * b)
    store<i32>(position + 4 * b, value)
    store<i32>(next + 4 * b, value + 1)
  }
}
