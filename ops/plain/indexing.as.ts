// Plain ops that read or write places known only when the plan runs, and conversions of dtype.
// Parallel plan: one output row (take, scatterAdd), one head of one sequence (writeRows, readRows)
// or 1024 elements (cast) per work item. Bytes: the moved rows, read and written once; scatterAdd
// walks the ids once per thread and adds rows in order of n. Ids outside the table move nothing.
import { loadFour, loadOne, storeFour, storeOne, itemBytes } from "../shared/half.as"

const chunk: u32 = 1024

export function take(
  w: usize, ids: usize, x: usize, V: u32, D: u32, N: u32, begin: u32, end: u32,
): void {
  takeBytes(w, ids, x, V, D << 2, N, begin, end)
}

export function takeBytes(
  w: usize, ids: usize, x: usize, V: u32, D: u32, N: u32, begin: u32, end: u32,
): void {
  const bytes = <usize>D
  for (let n = <usize>begin; n < end; n++) {
    const id = load<u32>(ids + (n << 2))
    if (id < V) memory.copy(x + n * bytes, w + <usize>id * bytes, bytes)
    else memory.fill(x + n * bytes, 0, bytes)
  }
}

export function scatterAdd(
  g: usize, ids: usize, y: usize, N: u32, D: u32, V: u32, begin: u32, end: u32,
): void {
  const bytes = (<usize>D) << 2
  memory.fill(y + <usize>begin * bytes, 0, <usize>(end - begin) * bytes)
  for (let n: usize = 0; n < N; n++) {
    const id = load<u32>(ids + (n << 2))
    if (id < begin || id >= end) continue
    const row = y + <usize>id * bytes
    const from = g + n * bytes
    let i: usize = 0
    for (; i + 16 <= bytes; i += 16) {
      v128.store(row + i, f32x4.add(v128.load(row + i), v128.load(from + i)))
    }
    for (; i < bytes; i += 4) store<f32>(row + i, load<f32>(row + i) + load<f32>(from + i))
  }
}

/** The caller sees to it that position + T stays within S. */
export function writeRows(
  cache: usize, rows: usize, position: usize,
  B: u32, G: u32, S: u32, E: u32, T: u32, cacheType: u32, begin: u32, end: u32,
): void {
  const bytes = <usize>E * itemBytes(cacheType)
  for (let i = begin; i < end; i++) {
    const at = load<u32>(position + ((<usize>i / G) << 2))
    memory.copy(cache + (<usize>i * S + at) * bytes, rows + <usize>i * T * bytes, <usize>T * bytes)
  }
}

/** The caller sees to it that position + T stays within S. */
export function readRows(
  cache: usize, position: usize, y: usize,
  B: u32, G: u32, S: u32, E: u32, T: u32, begin: u32, end: u32,
): void {
  const bytes = (<usize>E) << 2
  for (let i = begin; i < end; i++) {
    const at = load<u32>(position + ((<usize>i / G) << 2))
    memory.copy(y + <usize>i * T * bytes, cache + (<usize>i * S + at) * bytes, <usize>T * bytes)
  }
}

const i32Type: u32 = 3

export function cast(
  x: usize, y: usize, N: u32, xType: u32, yType: u32, begin: u32, end: u32,
): void {
  const from = itemBytes(xType)
  const to = itemBytes(yType)
  const last = <u32>min<u64>(N, <u64>end * chunk)
  let i = begin * chunk
  for (; i + 4 <= last; i += 4) {
    const p = x + <usize>i * from
    const value = xType === i32Type ? f32x4.convert_i32x4_s(v128.load(p)) : loadFour(p, xType)
    const q = y + <usize>i * to
    if (yType === i32Type) v128.store(q, i32x4.trunc_sat_f32x4_s(value))
    else storeFour(q, value, yType)
  }
  for (; i < last; i++) {
    const p = x + <usize>i * from
    const value = xType === i32Type ? <f32>load<i32>(p) : loadOne(p, xType)
    const q = y + <usize>i * to
    if (yType === i32Type) v128.store32_lane(q, i32x4.trunc_sat_f32x4_s(f32x4.splat(value)), 0)
    else storeOne(q, value, yType)
  }
}
