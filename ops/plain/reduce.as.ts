// Plain ops along the last axis, and the product of matrices that every other product means.
// Parallel plan: one row per work item. Bytes: each row once (sort: in place, in the cache); dot
// reads b once per row of a. Sums run in f64 lanes, dot in f32 lanes.
import { maxLanes, sumLanes } from "../shared/math.as"
import { madd } from "../shared/simd.as"

/** max x over D ≥ 1 numbers; NaN if there is one. */
export function rowMax(x: usize, D: u32): f32 {
  const end = x + ((<usize>D) << 2)
  let best = load<f32>(x)
  let a = f32x4.splat(best)
  let b = a
  for (; x + 32 <= end; x += 32) {
    a = f32x4.max(a, v128.load(x))
    b = f32x4.max(b, v128.load(x, 16))
  }
  best = maxLanes(f32x4.max(a, b))
  for (; x < end; x += 4) best = max(best, load<f32>(x))
  return best
}

/** Index of the best of four lanes, the first of equals. */
// @ts-ignore: decorator
@inline
export function bestLane(value: v128, index: v128): u32 {
  let best = f32x4.extract_lane(value, 0)
  let at = <u32>i32x4.extract_lane(index, 0)
  for (let lane = 1; lane < 4; lane++) {
    value = v128.shuffle<f32>(value, value, 1, 2, 3, 0)
    index = v128.shuffle<f32>(index, index, 1, 2, 3, 0)
    const x = f32x4.extract_lane(value, 0)
    const i = <u32>i32x4.extract_lane(index, 0)
    if (x > best || (x === best && i < at)) {
      best = x
      at = i
    }
  }
  return at
}

/** Index of the largest of D numbers, the first of equals; NaN never wins. */
export function rowArgmax(x: usize, D: u32): u32 {
  let best = f32x4.splat(-Infinity)
  let index = i32x4.splat(0)
  let here = i32x4(0, 1, 2, 3)
  let i: u32 = 0
  for (; i + 4 <= D; i += 4, x += 16) {
    const value = v128.load(x)
    const better = f32x4.gt(value, best)
    best = f32x4.pmax(best, value)
    index = v128.bitselect(here, index, better)
    here = i32x4.add(here, i32x4.splat(4))
  }
  let at = bestLane(best, index)
  let most = f32x4.extract_lane(best, 0)
  most = max(most, f32x4.extract_lane(best, 1))
  most = max(most, max(f32x4.extract_lane(best, 2), f32x4.extract_lane(best, 3)))
  for (; i < D; i++, x += 4) {
    if (load<f32>(x) > most) {
      most = load<f32>(x)
      at = i
    }
  }
  return at
}

export function sumRows(x: usize, y: usize, N: u32, D: u32, begin: u32, end: u32): void {
  const bytes = (<usize>D) << 2
  for (let n = <usize>begin; n < end; n++) {
    let at = x + n * bytes
    const last = at + bytes
    let a = f64x2.splat(0)
    let b = a
    for (; at + 16 <= last; at += 16) {
      const four = v128.load(at)
      a = f64x2.add(a, f64x2.promote_low_f32x4(four))
      b = f64x2.add(b, f64x2.promote_low_f32x4(v128.shuffle<f32>(four, four, 2, 3, 2, 3)))
    }
    a = f64x2.add(a, b)
    let sum = f64x2.extract_lane(a, 0) + f64x2.extract_lane(a, 1)
    for (; at < last; at += 4) sum += load<f32>(at)
    store<f32>(y + (n << 2), <f32>sum)
  }
}

export function maxRows(x: usize, y: usize, N: u32, D: u32, begin: u32, end: u32): void {
  for (let n = <usize>begin; n < end; n++) {
    store<f32>(y + (n << 2), D ? rowMax(x + ((n * D) << 2), D) : -Infinity)
  }
}

export function argmax(x: usize, y: usize, N: u32, D: u32, begin: u32, end: u32): void {
  for (let n = <usize>begin; n < end; n++) {
    store<u32>(y + (n << 2), rowArgmax(x + ((n * D) << 2), D))
  }
}

export function cumsum(x: usize, y: usize, N: u32, D: u32, begin: u32, end: u32): void {
  const bytes = (<usize>D) << 2
  for (let n = <usize>begin; n < end; n++) {
    const at = n * bytes
    let sum: f64 = 0
    for (let i: usize = 0; i < bytes; i += 4) {
      sum += load<f32>(x + at + i)
      store<f32>(y + at + i, <f32>sum)
    }
  }
}

/** Lets the number at `root` of the heap of n sink until none below it is smaller. */
function sink(heap: usize, root: u32, n: u32): void {
  const value = load<f32>(heap + ((<usize>root) << 2))
  while (true) {
    let child: u32 = 2 * root + 1
    if (child >= n) break
    const at = heap + ((<usize>child) << 2)
    let least = load<f32>(at)
    if (child + 1 < n && load<f32>(at, 4) < least) {
      least = load<f32>(at, 4)
      child++
    }
    if (!(least < value)) break
    store<f32>(heap + ((<usize>root) << 2), least)
    root = child
  }
  store<f32>(heap + ((<usize>root) << 2), value)
}

/** Heap sort: the smallest number goes after the heap, which shrinks from the right. */
export function sort(x: usize, y: usize, N: u32, D: u32, begin: u32, end: u32): void {
  const bytes = (<usize>D) << 2
  for (let n = <usize>begin; n < end; n++) {
    const heap = y + n * bytes
    memory.copy(heap, x + n * bytes, bytes)
    for (let root = <i32>(D >> 1) - 1; root >= 0; root--) sink(heap, root, D)
    for (let left = D; left > 1; ) {
      left--
      const last = heap + ((<usize>left) << 2)
      const least = load<f32>(heap)
      store<f32>(heap, load<f32>(last))
      store<f32>(last, least)
      sink(heap, 0, left)
    }
  }
}

/** Σ a[k]·b[k] over K numbers. */
function inner(a: usize, b: usize, K: u32): f32 {
  const end = a + ((<usize>K) << 2)
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0
  for (; a + 64 <= end; a += 64, b += 64) {
    s0 = madd(v128.load(a), v128.load(b), s0)
    s1 = madd(v128.load(a, 16), v128.load(b, 16), s1)
    s2 = madd(v128.load(a, 32), v128.load(b, 32), s2)
    s3 = madd(v128.load(a, 48), v128.load(b, 48), s3)
  }
  for (; a + 16 <= end; a += 16, b += 16) s0 = madd(v128.load(a), v128.load(b), s0)
  let rest: f32 = 0
  for (; a < end; a += 4, b += 4) rest += load<f32>(a) * load<f32>(b)
  return sumLanes(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3))) + rest
}

export function dot(
  a: usize, b: usize, y: usize, B: u32, M: u32, N: u32, K: u32, begin: u32, end: u32,
): void {
  const bytes = (<usize>K) << 2
  for (let i = begin; i < end; i++) {
    let column = b + <usize>(i / M) * N * bytes
    const row = a + <usize>i * bytes
    const out = y + ((<usize>i * N) << 2)
    for (let n: usize = 0; n < N; n++, column += bytes) {
      store<f32>(out + (n << 2), inner(row, column, K))
    }
  }
}
