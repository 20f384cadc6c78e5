// Plain ops that move elements: a straight copy, a strided copy and the adjoint of the strided
// copy. Strides count elements and may be 0 or negative. Parallel plan: 4096 bytes (copy) or 1024
// elements of the dense side (restride) per work item; restrideAdd, whose targets may coincide, is
// one item. Bytes: each side once; rows along the last axis run as contiguous copies where its
// stride is 1.

const copyBytes: usize = 4096
const chunk: u32 = 1024

export function copy(x: usize, y: usize, Bytes: u32, begin: u32, end: u32): void {
  const first = <usize>begin * copyBytes
  const last = <usize>min<u64>(Bytes, <u64>end * copyBytes)
  memory.copy(y + first, x + first, last - first)
}

/** y[i] = x[i·step] for n elements. */
// @ts-ignore: decorator
@inline
function gather(x: usize, y: usize, n: u32, step: i32): void {
  if (step === 1) {
    memory.copy(y, x, (<usize>n) << 2)
    return
  }
  const stride = <usize>step << 2
  let i: u32 = 0
  if (step === 0) {
    const value = v128.load32_splat(x)
    for (; i + 4 <= n; i += 4, y += 16) v128.store(y, value)
  }
  for (; i < n; i++, x += stride, y += 4) store<u32>(y, load<u32>(x))
}

/** y[i·step] += x[i] for n elements. */
// @ts-ignore: decorator
@inline
function scatter(x: usize, y: usize, n: u32, step: i32): void {
  const stride = <usize>step << 2
  let i: u32 = 0
  if (step === 1) {
    for (; i + 4 <= n; i += 4, x += 16, y += 16) {
      v128.store(y, f32x4.add(v128.load(y), v128.load(x)))
    }
  }
  for (; i < n; i++, x += 4, y += stride) store<f32>(y, load<f32>(y) + load<f32>(x))
}

/** Walks dense elements from … to in runs along the last axis: copies them from x to y, or where
 *  `adds` is set adds the dense x to the strided y. */
// @ts-ignore: decorator
@inline
function walk(
  x: usize, y: usize, D1: u32, D2: u32, D3: u32, D4: u32, D5: u32,
  S0: u32, S1: u32, S2: u32, S3: u32, S4: u32, S5: u32, Offset: u32, from: u32, to: u32, adds: bool,
): void {
  let row = from / D5
  let column = from % D5
  for (let at = from; at < to; row++, column = 0) {
    const run = min(D5 - column, to - at)
    const r4 = row / D4
    const r3 = r4 / D3
    const r2 = r3 / D2
    // Strides are two's complement: the sum is right modulo 2³².
    const index = Offset + (r2 / D1) * S0 + (r2 % D1) * S1 + (r3 % D2) * S2 + (r4 % D3) * S3 +
      (row % D4) * S4 + column * S5
    const dense = (<usize>at) << 2
    const strided = (<usize>index) << 2
    if (adds) scatter(x + dense, y + strided, run, <i32>S5)
    else gather(x + strided, y + dense, run, <i32>S5)
    at += run
  }
}

export function restride(
  x: usize, y: usize, N: u32, D0: u32, D1: u32, D2: u32, D3: u32, D4: u32, D5: u32,
  S0: u32, S1: u32, S2: u32, S3: u32, S4: u32, S5: u32, Offset: u32, begin: u32, end: u32,
): void {
  const to = <u32>min<u64>(N, <u64>end * chunk)
  const from = begin * chunk
  walk(x, y, D1, D2, D3, D4, D5, S0, S1, S2, S3, S4, S5, Offset, from, to, false)
}

export function restrideAdd(
  x: usize, y: usize, N: u32, D0: u32, D1: u32, D2: u32, D3: u32, D4: u32, D5: u32,
  S0: u32, S1: u32, S2: u32, S3: u32, S4: u32, S5: u32, Offset: u32, Target: u32,
  begin: u32, end: u32,
): void {
  memory.fill(y, 0, (<usize>Target) << 2)
  walk(x, y, D1, D2, D3, D4, D5, S0, S1, S2, S3, S4, S5, Offset, 0, N, true)
}
