// y[d] = x[0, d] + x[1, d] + … for R rows of D numbers, one row after the other.
// Parallel plan: 256 columns of one of N sums per work item, 32 at a time in registers.
// Bytes: x read and y written once.

/** Rows that gradients sum into one part (parts.ts). */
export const rowsPerPart: u32 = 16
const columnsPerItem: usize = 256

/** Sums of R columns of 32 numbers, `stride` bytes from row to row. */
function sumStrip(x: usize, stride: usize, R: u32, y: usize): void {
  let a = v128.load(x), b = v128.load(x, 16), c = v128.load(x, 32), d = v128.load(x, 48)
  let e = v128.load(x, 64), f = v128.load(x, 80), g = v128.load(x, 96), h = v128.load(x, 112)
  for (let r: u32 = 1; r < R; r++) {
    x += stride
    a = f32x4.add(a, v128.load(x))
    b = f32x4.add(b, v128.load(x, 16))
    c = f32x4.add(c, v128.load(x, 32))
    d = f32x4.add(d, v128.load(x, 48))
    e = f32x4.add(e, v128.load(x, 64))
    f = f32x4.add(f, v128.load(x, 80))
    g = f32x4.add(g, v128.load(x, 96))
    h = f32x4.add(h, v128.load(x, 112))
  }
  v128.store(y, a)
  v128.store(y, b, 16)
  v128.store(y, c, 32)
  v128.store(y, d, 48)
  v128.store(y, e, 64)
  v128.store(y, f, 80)
  v128.store(y, g, 96)
  v128.store(y, h, 112)
}

export function sumParts(
  x: usize, y: usize, N: u32, R: u32, D: u32, begin: u32, end: u32,
): void {
  const items = (D + columnsPerItem - 1) / columnsPerItem
  const stride = <usize>D * 4
  for (let item = begin; item < end; item++) {
    const n = item / items
    let d = <usize>(item % items) * columnsPerItem
    const last = min(d + columnsPerItem, <usize>D)
    const from = x + <usize>n * R * stride
    const to = y + n * stride
    for (; d + 32 <= last; d += 32) sumStrip(from + d * 4, stride, R, to + d * 4)
    for (; d < last; d++) {
      let sum: f32 = 0
      for (let r: usize = 0; r < R; r++) sum += load<f32>(from + r * stride + d * 4)
      store<f32>(to + d * 4, sum)
    }
  }
}
