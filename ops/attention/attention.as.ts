// y = softmax(scale·q·kᵀ)·v over keys 0 … position + t, online over blocks of keys: the running
// maximum m, sum l and mixture acc of a query are rescaled by 2^(m − m') when a block raises m
// (scores carry 1/ln 2, so that weights are powers of two).
// Parallel plan: a work item is one query head of one position. Items next to each other come as
// tiles of queries that share a key head, positions taken from the front and the back of T in turn,
// so that equal shares of the items are equal work. Queries go in fours through a block of keys
// that the L1 cache holds; what happens to a query does not depend on its neighbours. Where few
// queries read a block, it comes from memory: then its lines are touched first, front to back,
// since the products jump between rows in a way that no prefetcher follows.
// Bytes: keys and values once per tile (16 queries or more where T allows), q and y once.
import { scratch } from "../../backends/wasm/thread.as"
import { f16Scale, mixBlock, scoreBlock } from "./attention_block.as"
import { exp2Constant, exp2Vector } from "../shared/exp2.as"
import { hasWideTiles } from "../product/matmul.as"
import { dequantizeRow } from "./q8_rows.as"

/** Most queries in a tile; more heads than that share a key head in several tiles. */
const mostRows: u32 = 32
/** Positions up to which a call is taken for decoding, whose cache lies in memory. */
const mostCold: u32 = 8
const ln2: f32 = 0.6931471805599453
const lowest: f32 = -3.4028234663852886e38

// Scratch memory of a tile. Rows stand in fours: a group of four queries fills a vector's lanes.
const maximaAt: usize = 0 // m, f32 (mostRows)
const sumsAt: usize = 128 // l, f32 (mostRows)
const limitsAt: usize = 256 // last key seen, i32 (mostRows)
const correctionAt: usize = 384 // 2^(m − m') of the four rows at hand
const scoresAt: usize = 448 // f32 (64 keys, 4 rows)
const partsAt: usize = 1472 // 256 bytes for sums of products
const queriesAt: usize = 1728 // f32 per four rows: q (E/4, 4 rows, 4), then acc (E/8, 4 rows, 8)

/** Keys of a block: 16 KiB of keys up to E = 128. */
// @ts-ignore: decorator
@inline
function blockOf(E: u32): u32 {
  return E <= 64 ? 64 : 32
}

/** E rounded up to 16: what rows are padded to. */
// @ts-ignore: decorator
@inline
function paddedOf(E: u32): u32 {
  return (E + 15) & ~15
}

/** Hides keys first, first + 1, … in the scores (n, 4) of rows that do not see them. */
function hide(scores: usize, end: usize, first: u32, limits: v128): void {
  let key = i32x4.splat(first)
  for (let p = scores; p < end; p += 16) {
    const hidden = i32x4.gt_s(key, limits)
    v128.store(p, v128.bitselect(f32x4.splat(lowest), v128.load(p), hidden))
    key = i32x4.add(key, i32x4.splat(1))
  }
}

/** Scores (n, 4) become weights 2^(s − m') times `factor`; m, l and the corrections follow. */
function weighBlock(state: usize, at: usize, n: u32, factor: f32): void {
  const scores = state + scoresAt, parts = state + partsAt
  let end = scores + (<usize>n << 4)
  // Keys go in pairs; one that is not there has no weight.
  if (n & 1) {
    v128.store(end, f32x4.splat(lowest))
    end += 16
  }
  const c0 = exp2Constant(0), c1 = exp2Constant(1), c2 = exp2Constant(2), c3 = exp2Constant(3)
  const c4 = exp2Constant(4), c5 = exp2Constant(5), c6 = exp2Constant(6), c7 = exp2Constant(7)
  const old = v128.load(state + maximaAt + at)
  let top0 = old, top1 = old
  for (let p = scores; p < end; p += 32) {
    top0 = f32x4.pmax(top0, v128.load(p))
    top1 = f32x4.pmax(top1, v128.load(p, 16))
  }
  const top = f32x4.pmax(top0, top1)
  const correction = exp2Vector(f32x4.sub(old, top), c0, c1, c2, c3, c4, c5, c6, c7)
  const by = f32x4.splat(factor)
  v128.store(parts, f32x4.splat(0))
  v128.store(parts, f32x4.splat(0), 16)
  let sum0 = v128.load(parts), sum1 = v128.load(parts, 16)
  for (let p = scores; p < end; p += 32) {
    const s0 = f32x4.sub(v128.load(p), top), s1 = f32x4.sub(v128.load(p, 16), top)
    const w0 = exp2Vector(s0, c0, c1, c2, c3, c4, c5, c6, c7)
    const w1 = exp2Vector(s1, c0, c1, c2, c3, c4, c5, c6, c7)
    sum0 = f32x4.add(sum0, w0)
    sum1 = f32x4.add(sum1, w1)
    v128.store(p, f32x4.mul(w0, by))
    v128.store(p, f32x4.mul(w1, by), 16)
  }
  v128.store(parts, sum0)
  v128.store(parts, sum1, 16)
  const sum = f32x4.add(v128.load(parts), v128.load(parts, 16))
  const sums = state + sumsAt + at
  v128.store(sums, f32x4.add(f32x4.mul(v128.load(sums), correction), sum))
  v128.store(state + maximaAt + at, top)
  v128.store(state + correctionAt, correction)
}

/** Places row `row` of the tile: its query times scale, its last key, and an empty state. */
function placeRow(
  state: usize, row: u32, q: usize, limit: i32, E: u32, scale: f32, spare: usize,
): void {
  const at = (<usize>row) << 2
  store<f32>(state + maximaAt + at, lowest)
  store<f32>(state + sumsAt + at, 0)
  store<i32>(state + limitsAt + at, limit)
  const padded = <usize>paddedOf(E) << 2
  if (E & 15) {
    memory.copy(spare, q, <usize>E << 2)
    memory.fill(spare + (<usize>E << 2), 0, padded - (<usize>E << 2))
    q = spare
  }
  let query = state + queriesAt + <usize>(row >> 2) * 8 * padded + (<usize>(row & 3) << 4)
  const by = f32x4.splat(scale)
  for (const end = q + padded; q < end; q += 16, query += 64) {
    v128.store(query, f32x4.mul(v128.load(q), by))
    v128.store(query + 4 * padded, f32x4.splat(0))
  }
}

/** y = acc / l of one row. */
function writeRow(state: usize, row: u32, y: usize, E: u32, spare: usize): void {
  const padded = <usize>paddedOf(E) << 2
  const share = f32x4.splat(1 / load<f32>(state + sumsAt + ((<usize>row) << 2)))
  let acc = state + queriesAt + <usize>(row >> 2) * 8 * padded + 4 * padded
  acc += <usize>(row & 3) << 5
  const to = E & 15 ? spare : y
  for (let e: usize = 0; e < padded; e += 32, acc += 128) {
    v128.store(to + e, f32x4.mul(v128.load(acc), share))
    v128.store(to + e, f32x4.mul(v128.load(acc, 16), share), 16)
  }
  if (E & 15) memory.copy(y, spare, <usize>E << 2)
}

/** Brings whole lines into the cache, four at a time; `spare` keeps the loads alive. */
function touch(p: usize, bytes: usize, spare: usize): void {
  let a = i32x4.splat(0), b = a, c = a, d = a
  for (const end = p + (bytes & ~255); p < end; p += 256) {
    a = v128.or(a, v128.load(p)); b = v128.or(b, v128.load(p, 64))
    c = v128.or(c, v128.load(p, 128)); d = v128.or(d, v128.load(p, 192))
  }
  v128.store(spare, v128.or(v128.or(a, b), v128.or(c, d)))
}

/** Copies rows of `bytes` to rows of `padded`, the rest zeros; returns `to`. */
function padRows(x: usize, rows: u32, bytes: usize, padded: usize, to: usize): usize {
  for (let r: usize = 0; r < rows; r++) {
    memory.copy(to + r * padded, x + r * bytes, bytes)
    memory.fill(to + r * padded + bytes, 0, padded - bytes)
  }
  return to
}

/** Rows of a q8 cache as rows of `padded` bytes in f32, the rest zeros; returns `to`. */
function widenRows(x: usize, rows: u32, E: u32, padded: usize, to: usize): usize {
  const bytes = <usize>E << 2
  for (let r: usize = 0; r < rows; r++) {
    dequantizeRow(x + r * (<usize>E + 4), to + r * padded, E)
    if (bytes < padded) memory.fill(to + r * padded + bytes, 0, padded - bytes)
  }
  return to
}

/** Runs the four rows from r on over the block of keys first, first + 1, … that it holds. */
function attendFour(
  state: usize, r: u32, rows: u32, k: usize, v: usize, stride: usize, first: u32, block: u32,
  E: u32, half: bool,
): void {
  const limits = state + limitsAt + (r << 2)
  const a = load<i32>(limits), b = load<i32>(limits, 4)
  const c = load<i32>(limits, 8), d = load<i32>(limits, 12)
  const least = min(min(a, b), min(c, d))
  const most = max(max(a, b), max(c, d))
  if (<i32>first > most) return
  const n = min(block, <u32>most + 1 - first)
  const wide = hasWideTiles()
  const queries = state + queriesAt + <usize>(r >> 2) * 32 * E
  const scores = state + scoresAt
  scoreBlock(rows - r, wide, half, queries, k, stride, n, E, scores, state + partsAt)
  if (<i32>(first + n) > least + 1) hide(scores, scores + (n << 4), first, v128.load(limits))
  weighBlock(state, r << 2, n, half ? f16Scale * f16Scale : 1)
  const acc = queries + 16 * E
  mixBlock(rows - r, wide, half, scores, state + correctionAt, v, stride, n, E, acc)
}

/** Runs the placed rows, four at a time, over keys 0 … their limit. `isQ8`, whether these are rows of a q8
 *  cache, is a constant where this is inlined. */
// @ts-ignore: decorator
@inline
function attendBlocks(
  isQ8: bool, state: usize, rows: u32, k: usize, v: usize, E: u32, half: bool, cold: bool,
  spare: usize,
): void {
  const item: usize = half ? 2 : 4
  const bytes = isQ8 ? <usize>E + 4 : <usize>E * item
  const width = paddedOf(E)
  const padded = <usize>width * item
  const block = blockOf(E)
  let last: i32 = 0
  for (let r: u32 = 0; r < rows; r++) last = max(last, load<i32>(state + limitsAt + (r << 2)))
  for (let first: u32 = 0; first <= <u32>last; first += block) {
    let from = k + <usize>first * bytes, values = v + <usize>first * bytes
    const n = min(block, <u32>last + 1 - first)
    if (isQ8) {
      from = widenRows(from, n, E, padded, spare)
      values = widenRows(values, n, E, padded, spare + <usize>block * padded)
    } else if (cold) {
      touch(from, n * bytes, spare)
      touch(values, n * bytes, spare)
    }
    if (!isQ8 && E & 15) {
      from = padRows(from, n, bytes, padded, spare)
      values = padRows(values, n, bytes, padded, spare + <usize>block * padded)
    }
    for (let r: u32 = 0; r < rows; r += 4) {
      attendFour(state, r, rows, from, values, padded, first, block, width, half)
    }
  }
}

function attend(
  state: usize, rows: u32, k: usize, v: usize, E: u32, half: bool, cold: bool, spare: usize,
): void {
  attendBlocks(false, state, rows, k, v, E, half, cold, spare)
}

function attendQ8(state: usize, rows: u32, k: usize, v: usize, E: u32, spare: usize): void {
  attendBlocks(true, state, rows, k, v, E, false, false, spare)
}

/** Position of item k of T: tiles of `span` from the front and from the back in turn. */
// @ts-ignore: decorator
@inline
function positionOf(k: u32, span: u32, T: u32): u32 {
  const tile = k / span
  const inner = (tile >> 1) * span + k % span
  return tile & 1 ? T - 1 - inner : inner
}

// @ts-ignore: decorator
@inline
function attendHeads(
  isQ8: bool, q: usize, keys: usize, values: usize, position: usize, y: usize,
  T: u32, H: u32, G: u32, S: u32, E: u32, scale: f32, keysType: u32, begin: u32, end: u32,
): void {
  const state = scratch()
  const half = keysType === 1
  const bytes = (<usize>E) << 2
  const share = H / G
  const span = max<u32>(1, 16 / share)
  const spare = state + queriesAt + <usize>mostRows * 8 * paddedOf(E)
  const factor = scale / ln2 * (half ? f16Scale : 1)
  for (let item = begin; item < end; ) {
    const bg = item / (T * share)
    const first = item % (T * share)
    const b = bg / G
    const width = span * share
    const rows = min(min(width - first % width, T * share - first), min(end - item, mostRows))
    const past = load<i32>(position + ((<usize>b) << 2))
    const cache = <usize>bg * S * (isQ8 ? <usize>E + 4 : <usize>E * (half ? 2 : 4))
    for (let r: u32 = 0; r < ((rows + 3) & ~3); r++) {
      const i = first + min(r, rows - 1)
      const t = positionOf(i / share, span, T)
      const head = bg % G * share + i % share
      const query = q + (<usize>(b * T + t) * H + head) * bytes
      placeRow(state, r, query, past + <i32>t, E, factor, spare)
    }
    if (isQ8) attendQ8(state, rows, keys + cache, values + cache, E, spare)
    else attend(state, rows, keys + cache, values + cache, E, half, T <= mostCold, spare)
    for (let r: u32 = 0; r < rows; r++) {
      const i = first + r
      const t = positionOf(i / share, span, T)
      const head = bg % G * share + i % share
      writeRow(state, r, y + (<usize>(b * T + t) * H + head) * bytes, E, spare)
    }
    item += rows
  }
}

export function attention(
  q: usize, keys: usize, values: usize, position: usize, y: usize,
  B: u32, T: u32, H: u32, G: u32, S: u32, E: u32, scale: f32, keysType: u32,
  begin: u32, end: u32,
): void {
  attendHeads(false, q, keys, values, position, y, T, H, G, S, E, scale, keysType, begin, end)
}

export function attentionQ8(
  q: usize, keys: usize, values: usize, position: usize, y: usize,
  B: u32, T: u32, H: u32, G: u32, S: u32, E: u32, scale: f32, begin: u32, end: u32,
): void {
  attendHeads(true, q, keys, values, position, y, T, H, G, S, E, scale, 0, begin, end)
}
