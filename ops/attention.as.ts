// y = softmax(scale·q·kᵀ)·v over keys 0 … position + t, online over blocks of keys: the running
// maximum m, sum l and mixture acc of a query are rescaled by exp(m − m') when a block raises m.
// Parallel plan: a work item is one position of one key head with all H/G query heads that read it.
// Items next to each other come as tiles of queries, taken from the front and the back of T in
// turn, so that equal shares of the items are equal work. Queries go in fours through a block of
// keys that the L1 cache holds; what happens to a query does not depend on its neighbours.
// Bytes: keys and values once per tile (16 queries or more where T allows), q and y once.
import { scratch } from "../backends/wasm/thread.as"
import { expVector } from "./math.as"
import { madd } from "./simd.as"

/** Most queries in a tile; more heads than that share a key head in several passes. */
const mostRows: u32 = 32
const lowest: f32 = -3.4028234663852886e38

// Scratch memory of a tile. Rows stand in fours: a group of four queries fills a vector's lanes.
const maximaAt: usize = 0 // m, f32 (mostRows)
const sumsAt: usize = 128 // l, f32 (mostRows)
const limitsAt: usize = 256 // last key seen, i32 (mostRows)
const correctionAt: usize = 384 // exp(m − m') of the four rows at hand
const scoresAt: usize = 448 // f32 (64 keys, 4 rows)
const queriesAt: usize = 1536 // f32 per four rows: (E/4 vectors, 4 rows, 4), then as much for acc

/** Keys of a block: 16 KiB of keys up to E = 128. */
// @ts-ignore: decorator
@inline
function blockOf(E: u32): u32 {
  return E <= 64 ? 64 : 32
}

// @ts-ignore: decorator
@inline
function loadPart(p: usize, left: usize): v128 {
  return left >= 16 ? v128.load(p) : v128.load64_zero(p)
}

/** Lane i = sum of the lanes of the i-th argument. */
// @ts-ignore: decorator
@inline
function sumEach(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7))
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7))
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7))
}

/** scores[key][row] = q[row]·k[key] of four rows and two keys, `next` bytes apart. */
// @ts-ignore: decorator
@inline
function scorePair(q: usize, k: usize, bytes: usize, next: usize, out: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0
  let b0 = a0, b1 = a0, b2 = a0, b3 = a0
  const whole = bytes & ~15
  for (const end = k + whole; k < end; k += 16, q += 64) {
    const x = v128.load(k)
    const y = v128.load(k + next)
    const q0 = v128.load(q), q1 = v128.load(q, 16), q2 = v128.load(q, 32), q3 = v128.load(q, 48)
    a0 = madd(q0, x, a0)
    a1 = madd(q1, x, a1)
    a2 = madd(q2, x, a2)
    a3 = madd(q3, x, a3)
    b0 = madd(q0, y, b0)
    b1 = madd(q1, y, b1)
    b2 = madd(q2, y, b2)
    b3 = madd(q3, y, b3)
  }
  if (whole < bytes) {
    const x = v128.load64_zero(k)
    const y = v128.load64_zero(k + next)
    const q0 = v128.load(q), q1 = v128.load(q, 16), q2 = v128.load(q, 32), q3 = v128.load(q, 48)
    a0 = madd(q0, x, a0)
    a1 = madd(q1, x, a1)
    a2 = madd(q2, x, a2)
    a3 = madd(q3, x, a3)
    b0 = madd(q0, y, b0)
    b1 = madd(q1, y, b1)
    b2 = madd(q2, y, b2)
    b3 = madd(q3, y, b3)
  }
  v128.store(out, sumEach(a0, a1, a2, a3))
  if (next) v128.store(out, sumEach(b0, b1, b2, b3), 16)
}

/** Scores of four rows with n keys. */
function scoreBlock(q: usize, k: usize, n: u32, E: u32, out: usize): void {
  const bytes = (<usize>E) << 2
  let i: u32 = 0
  for (; i + 2 <= n; i += 2, k += 2 * bytes, out += 32) scorePair(q, k, bytes, bytes, out)
  if (i < n) scorePair(q, k, bytes, 0, out)
}

/** Scores become weights exp(s − m'); m, l and the correction of acc follow. */
function weighBlock(state: usize, at: usize, first: u32, n: u32, masked: bool): void {
  const scores = state + scoresAt
  const end = scores + ((<usize>n) << 4)
  if (masked) {
    const limits = v128.load(state + limitsAt + at)
    let key = i32x4.splat(first)
    for (let p = scores; p < end; p += 16) {
      const hidden = i32x4.gt_s(key, limits)
      v128.store(p, v128.bitselect(f32x4.splat(lowest), v128.load(p), hidden))
      key = i32x4.add(key, i32x4.splat(1))
    }
  }
  const old = v128.load(state + maximaAt + at)
  let top = old
  for (let p = scores; p < end; p += 16) top = f32x4.max(top, v128.load(p))
  let sum = f32x4.splat(0)
  for (let p = scores; p < end; p += 16) {
    const weight = expVector(f32x4.sub(v128.load(p), top))
    v128.store(p, weight)
    sum = f32x4.add(sum, weight)
  }
  const correction = expVector(f32x4.sub(old, top))
  v128.store(state + maximaAt + at, top)
  v128.store(state + correctionAt, correction)
  const sums = state + sumsAt + at
  v128.store(sums, f32x4.add(f32x4.mul(v128.load(sums), correction), sum))
}

/** acc[row] = acc[row]·correction[row] + Σ weight[key][row]·v[key] of four rows, columns in eights;
 *  acc holds (E/4 vectors, 4 rows, 4). */
function mixBlock(state: usize, v: usize, n: u32, E: u32, acc: usize): void {
  const bytes = (<usize>E) << 2
  const scores = state + scoresAt
  const end = scores + ((<usize>n) << 4)
  const c0 = v128.load32_splat(state + correctionAt)
  const c1 = v128.load32_splat(state + correctionAt, 4)
  const c2 = v128.load32_splat(state + correctionAt, 8)
  const c3 = v128.load32_splat(state + correctionAt, 12)
  let e: usize = 0
  for (; e + 32 <= bytes; e += 32, acc += 128) {
    let a0 = f32x4.mul(v128.load(acc), c0), a1 = f32x4.mul(v128.load(acc, 16), c1)
    let a2 = f32x4.mul(v128.load(acc, 32), c2), a3 = f32x4.mul(v128.load(acc, 48), c3)
    let b0 = f32x4.mul(v128.load(acc, 64), c0), b1 = f32x4.mul(v128.load(acc, 80), c1)
    let b2 = f32x4.mul(v128.load(acc, 96), c2), b3 = f32x4.mul(v128.load(acc, 112), c3)
    let value = v + e
    for (let p = scores; p < end; p += 16, value += bytes) {
      const x = v128.load(value), y = v128.load(value, 16)
      const w0 = v128.load32_splat(p), w1 = v128.load32_splat(p, 4)
      const w2 = v128.load32_splat(p, 8), w3 = v128.load32_splat(p, 12)
      a0 = madd(w0, x, a0)
      b0 = madd(w0, y, b0)
      a1 = madd(w1, x, a1)
      b1 = madd(w1, y, b1)
      a2 = madd(w2, x, a2)
      b2 = madd(w2, y, b2)
      a3 = madd(w3, x, a3)
      b3 = madd(w3, y, b3)
    }
    v128.store(acc, a0)
    v128.store(acc, a1, 16)
    v128.store(acc, a2, 32)
    v128.store(acc, a3, 48)
    v128.store(acc, b0, 64)
    v128.store(acc, b1, 80)
    v128.store(acc, b2, 96)
    v128.store(acc, b3, 112)
  }
  for (; e < bytes; e += 16, acc += 64) {
    let a0 = f32x4.mul(v128.load(acc), c0), a1 = f32x4.mul(v128.load(acc, 16), c1)
    let a2 = f32x4.mul(v128.load(acc, 32), c2), a3 = f32x4.mul(v128.load(acc, 48), c3)
    let value = v + e
    for (let p = scores; p < end; p += 16, value += bytes) {
      const x = loadPart(value, bytes - e)
      a0 = madd(v128.load32_splat(p), x, a0)
      a1 = madd(v128.load32_splat(p, 4), x, a1)
      a2 = madd(v128.load32_splat(p, 8), x, a2)
      a3 = madd(v128.load32_splat(p, 12), x, a3)
    }
    v128.store(acc, a0)
    v128.store(acc, a1, 16)
    v128.store(acc, a2, 32)
    v128.store(acc, a3, 48)
  }
}

/** Places row `row` of the tile: its query times scale, its last key, and an empty state. */
function placeRow(state: usize, row: u32, q: usize, limit: i32, E: u32, scale: f32): void {
  const at = (<usize>row) << 2
  store<f32>(state + maximaAt + at, lowest)
  store<f32>(state + sumsAt + at, 0)
  store<i32>(state + limitsAt + at, limit)
  const bytes = (<usize>E) << 2
  const four = (bytes + 15) & ~15
  let query = state + queriesAt + (<usize>row >> 2) * 8 * four + (<usize>(row & 3) << 4)
  for (let e: usize = 0; e < bytes; e += 16, query += 64) {
    const x = q ? loadPart(q + e, bytes - e) : f32x4.splat(0)
    v128.store(query, f32x4.mul(x, f32x4.splat(scale)))
    v128.store(query + 4 * four, f32x4.splat(0))
  }
}

/** y = acc / l of one row. */
function writeRow(state: usize, row: u32, y: usize, E: u32): void {
  const bytes = (<usize>E) << 2
  const four = (bytes + 15) & ~15
  const share = f32x4.splat(1 / load<f32>(state + sumsAt + ((<usize>row) << 2)))
  let acc = state + queriesAt + (<usize>row >> 2) * 8 * four + 4 * four + (<usize>(row & 3) << 4)
  for (let e: usize = 0; e < bytes; e += 16, acc += 64) {
    const mixed = f32x4.mul(v128.load(acc), share)
    if (e + 16 <= bytes) v128.store(y + e, mixed)
    else v128.store64_lane(y + e, mixed, 0)
  }
}

/** Runs the placed rows, four at a time, over keys 0 … their limit. */
function attend(state: usize, rows: u32, k: usize, v: usize, E: u32): void {
  const bytes = (<usize>E) << 2
  const eight = ((bytes + 15) & ~15) * 8
  const block = blockOf(E)
  let last: i32 = 0
  for (let r: u32 = 0; r < rows; r++) last = max(last, load<i32>(state + limitsAt + (r << 2)))
  for (let first: u32 = 0; first <= <u32>last; first += block) {
    const at = <usize>first * bytes
    for (let r: u32 = 0; r < rows; r += 4) {
      const limits = state + limitsAt + (r << 2)
      const a = load<i32>(limits), b = load<i32>(limits, 4)
      const c = load<i32>(limits, 8), d = load<i32>(limits, 12)
      const least = min(min(a, b), min(c, d))
      const most = max(max(a, b), max(c, d))
      if (<i32>first > most) continue
      const n = min(block, <u32>most + 1 - first)
      const queries = state + queriesAt + (<usize>r >> 2) * eight
      scoreBlock(queries, k + at, n, E, state + scoresAt)
      weighBlock(state, r << 2, first, n, <i32>(first + n) > least + 1)
      mixBlock(state, v + at, n, E, queries + (eight >> 1))
    }
  }
}

/** Position of item k of T: tiles of `span` from the front and from the back in turn. */
// @ts-ignore: decorator
@inline
function positionOf(k: u32, span: u32, T: u32): u32 {
  const tile = k / span
  const inner = (tile >> 1) * span + k % span
  return tile & 1 ? T - 1 - inner : inner
}

export function attention(
  q: usize, keys: usize, values: usize, position: usize, y: usize,
  B: u32, T: u32, H: u32, G: u32, S: u32, E: u32, scale: f32, begin: u32, end: u32,
): void {
  const state = scratch()
  const bytes = (<usize>E) << 2
  const share = H / G
  const heads = min(share, mostRows)
  const span = max<u32>(1, 16 / heads)
  for (let item = begin; item < end; ) {
    const bg = item / T
    const k = item % T
    const b = bg / G
    const count = min(span - k % span, min(T - k, end - item))
    const past = load<i32>(position + ((<usize>b) << 2))
    const cache = <usize>bg * S * bytes
    for (let head: u32 = 0; head < share; head += heads) {
      const width = min(heads, share - head)
      const rows = count * width
      const column = (bg % G) * share + head
      for (let r: u32 = 0; r < ((rows + 3) & ~3); r++) {
        const t = positionOf(k + min(r, rows - 1) / width, span, T)
        const query = q + (<usize>(b * T + t) * H + column + r % width) * bytes
        placeRow(state, r, r < rows ? query : 0, past + <i32>t, E, scale)
      }
      attend(state, rows, keys + cache, values + cache, E)
      for (let r: u32 = 0; r < rows; r++) {
        const t = positionOf(k + r / width, span, T)
        writeRow(state, r, y + (<usize>(b * T + t) * H + column + r % width) * bytes, E)
      }
    }
    item += count
  }
}
