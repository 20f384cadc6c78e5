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

/** y[r·n + i] = x[r + i·step] for r < 16 and n elements: whole cache lines are read. */
function transpose(x: usize, y: usize, n: u32, step: i32): void {
  const stride = <usize>step << 2
  const row = (<usize>n) << 2
  let i: u32 = 0
  for (; i + 4 <= n; i += 4, x += 4 * stride, y += 16) {
    let to = y
    for (let r: usize = 0; r < 64; r += 16, to += 4 * row) {
      const a = v128.load(x + r)
      const b = v128.load(x + stride + r)
      const c = v128.load(x + 2 * stride + r)
      const d = v128.load(x + 3 * stride + r)
      const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5), abHigh = v128.shuffle<f32>(a, b, 2, 6, 3, 7)
      const cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5), cdHigh = v128.shuffle<f32>(c, d, 2, 6, 3, 7)
      v128.store(to, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5))
      v128.store(to + row, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7))
      v128.store(to + 2 * row, v128.shuffle<f32>(abHigh, cdHigh, 0, 1, 4, 5))
      v128.store(to + 3 * row, v128.shuffle<f32>(abHigh, cdHigh, 2, 3, 6, 7))
    }
  }
  for (; i < n; i++, x += stride, y += 4) {
    for (let r: usize = 0; r < 16; r++) store<u32>(y + r * row, load<u32>(x + (r << 2)))
  }
}

/** Σ x over n numbers, in f64. */
function total(x: usize, n: u32): f64 {
  let a = f64x2.splat(0)
  let i: u32 = 0
  for (; i + 2 <= n; i += 2, x += 8) {
    a = f64x2.add(a, f64x2.promote_low_f32x4(v128.load64_zero(x)))
  }
  const sum = f64x2.extract_lane(a, 0) + f64x2.extract_lane(a, 1)
  return i < n ? sum + load<f32>(x) : sum
}

/** y[i·step] += x[i] for n elements. */
// @ts-ignore: decorator
@inline
function scatter(x: usize, y: usize, n: u32, step: i32): void {
  const stride = <usize>step << 2
  let i: u32 = 0
  if (step === 0) {
    store<f32>(y, <f32>(load<f32>(y) + total(x, n)))
    return
  }
  if (step === 1) {
    for (; i + 4 <= n; i += 4, x += 16, y += 16) {
      v128.store(y, f32x4.add(v128.load(y), v128.load(x)))
    }
  }
  for (; i < n; i++, x += 4, y += stride) store<f32>(y, load<f32>(y) + load<f32>(x))
}

/** Walks dense elements from … to in runs along the last axis: copies them from x to y, sixteen
 *  rows at once where the last but one axis is the contiguous one, or where `adds` is set adds the
 *  dense x to the strided y. */
// @ts-ignore: decorator
@inline
function walk(
  x: usize, y: usize, D1: u32, D2: u32, D3: u32, D4: u32, D5: u32,
  S0: u32, S1: u32, S2: u32, S3: u32, S4: u32, S5: u32, Offset: u32, from: u32, to: u32, adds: bool,
): void {
  let row = from / D5
  let column = from % D5
  for (let at = from; at < to; column = 0) {
    let run = min(D5 - column, to - at)
    const r4 = row / D4
    const r3 = r4 / D3
    const r2 = r3 / D2
    // Strides are two's complement: the sum is right modulo 2³².
    const index = Offset + (r2 / D1) * S0 + (r2 % D1) * S1 + (r3 % D2) * S2 + (r4 % D3) * S3 +
      (row % D4) * S4 + column * S5
    const dense = (<usize>at) << 2
    const strided = (<usize>index) << 2
    const turns = !adds && S4 === 1 && S5 > 1 && run === D5
    if (turns && (to - at) / D5 >= 16 && D4 - row % D4 >= 16) {
      transpose(x + strided, y + dense, D5, <i32>S5)
      run *= 16
      row += 15
    } else if (adds) scatter(x + dense, y + strided, run, <i32>S5)
    else gather(x + strided, y + dense, run, <i32>S5)
    at += run
    row++
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
