// y = softmax(scale·q·kᵀ)·v and lse = ln Σ exp(scale·q·kᵀ) of position t over keys starts[t] … t.
// Online softmax over blocks of keys, of panels of 16 queries of one head, which lie in the lanes:
// scores (key, 16) = K·Qᵀ, weights (key, 16) by maxima and sums down the keys, acc (16, E) = Pᵀ·V.
// Parallel plan: a work item is a block of three panels, which share keys and values in the cache;
// blocks from the front and the back of T take turns, so that equal shares of the items are equal
// work. Blocks of keys that no query of a panel sees are skipped. Bytes: keys and values once per
// block of queries, q and y once.
import { scratch } from "../../backends/wasm/thread.as"
import {
  fromBothEnds, hiddenLanes, lanes, packPanel, padRows, paddedBytes, placeKeys, scaleInto, tileRows,
  zeros,
} from "./attention_panel.as"
import { columnsProduct, rowsProduct } from "./attention_tile.as"
import { exp2Constant, exp2Vector } from "../shared/exp2.as"
import { logVector } from "../shared/math.as"
import { hasWideTiles } from "../product/matmul.as"

/** Queries of a work item: three panels. Keys of a block. */
const blockQueries: u32 = 48
const blockKeys: u32 = 48
const ln2: f32 = 0.6931471805599453
const lowest: f32 = -3.4028234663852886e38

// A panel in scratch memory: 16 numbers each, then bounds (least and most of firsts and lasts), Qᵀ
// (E, 16) and acc (16, E rounded up to 16).
const maximaAt: usize = 0
const sumsAt: usize = 64
const correctionsAt: usize = 128
const firstsAt: usize = 192 // i32, first key seen, then last key seen
const boundsAt: usize = 320
const queriesAt: usize = 384

/** Hides scores of keys first … first + n − 1 (rows of 16) from queries that do not see them. */
function hide(scores: usize, first: u32, n: u32, firsts: usize): void {
  const low = f32x4.splat(lowest)
  for (let i: u32 = 0; i < n; i++, scores += 64) {
    const key = i32x4.splat(first + i)
    for (let lane: usize = 0; lane < 64; lane += 16) {
      const hidden = hiddenLanes(key, firsts + lane)
      v128.store(scores + lane, v128.bitselect(low, v128.load(scores + lane), hidden))
    }
  }
}

/** n scores (n, 16) become weights 2^(s − m'); m, l and the corrections 2^(m − m') follow. */
function weigh(panel: usize, scores: usize, n: u32): void {
  const end = scores + <usize>n * 64
  const c0 = exp2Constant(0), c1 = exp2Constant(1), c2 = exp2Constant(2), c3 = exp2Constant(3)
  const c4 = exp2Constant(4), c5 = exp2Constant(5), c6 = exp2Constant(6), c7 = exp2Constant(7)
  for (let lane: usize = 0; lane < 64; lane += 32) {
    const state = panel + lane
    const old0 = v128.load(state, maximaAt), old1 = v128.load(state, maximaAt + 16)
    let top0 = old0, top1 = old1
    for (let p = scores + lane; p < end; p += 64) {
      top0 = f32x4.pmax(top0, v128.load(p))
      top1 = f32x4.pmax(top1, v128.load(p, 16))
    }
    const x0 = f32x4.sub(old0, top0), x1 = f32x4.sub(old1, top1)
    const by0 = exp2Vector(x0, c0, c1, c2, c3, c4, c5, c6, c7)
    const by1 = exp2Vector(x1, c0, c1, c2, c3, c4, c5, c6, c7)
    let sum0 = f32x4.mul(v128.load(state, sumsAt), by0)
    let sum1 = f32x4.mul(v128.load(state, sumsAt + 16), by1)
    for (let p = scores + lane; p < end; p += 64) {
      const s0 = f32x4.sub(v128.load(p), top0), s1 = f32x4.sub(v128.load(p, 16), top1)
      const w0 = exp2Vector(s0, c0, c1, c2, c3, c4, c5, c6, c7)
      const w1 = exp2Vector(s1, c0, c1, c2, c3, c4, c5, c6, c7)
      v128.store(p, w0)
      v128.store(p, w1, 16)
      sum0 = f32x4.add(sum0, w0)
      sum1 = f32x4.add(sum1, w1)
    }
    v128.store(state, top0, maximaAt)
    v128.store(state, top1, maximaAt + 16)
    v128.store(state, by0, correctionsAt)
    v128.store(state, by1, correctionsAt + 16)
    v128.store(state, sum0, sumsAt)
    v128.store(state, sum1, sumsAt + 16)
  }
}

/** Rows of acc times their corrections. */
function correct(panel: usize, acc: usize, padded: usize): void {
  for (let r: usize = 0; r < 64; r += 4, acc += padded) {
    const correction = load<f32>(panel + r, correctionsAt)
    if (correction === 1) continue
    const c = f32x4.splat(correction)
    for (let p = acc, end = acc + padded; p < end; p += 32) {
      const x0 = f32x4.mul(v128.load(p), c), x1 = f32x4.mul(v128.load(p, 16), c)
      v128.store(p, x0)
      v128.store(p, x1, 16)
    }
  }
}

/** Runs one panel over keys first … first + n − 1, as far as its queries see them. */
function attend(panel: usize, scores: usize, k: usize, v: usize, first: u32, n: u32, E: u32): void {
  const least = load<u32>(panel, boundsAt), last = load<u32>(panel, boundsAt + 12)
  const skipped = least > first ? least - first : 0
  const end = min(n, last + 1 > first ? last + 1 - first : 0)
  if (skipped >= end) return
  const wide = hasWideTiles()
  const bytes = <usize>E * 4
  const padded = paddedBytes(E)
  const count = end - skipped
  const acc = panel + queriesAt + <usize>E * 64
  k += skipped * bytes
  v += skipped * padded
  first += skipped
  for (let r: u32 = 0; r < count; r += 6) {
    const to = scores + <usize>r * 64
    const from = k + r * bytes
    rowsProduct(min(6, count - r), wide, from, bytes, panel + queriesAt, 64, zeros, 0, to, 64, E)
  }
  const whole = first + count - 1 <= load<u32>(panel, boundsAt + 8)
    && <i32>first >= load<i32>(panel, boundsAt + 4)
  if (!whole) hide(scores, first, count, panel + firstsAt)
  weigh(panel, scores, count)
  correct(panel, acc, padded)
  for (let e: usize = 0; e < padded; e += 64) {
    for (let i: u32 = 0, r: usize = 0; i < 3; i++) {
      const to = acc + r * padded + e
      const rows = tileRows(i)
      const from = scores + r * 4
      columnsProduct(rows, wide, from, 64, v + e, padded, to, padded, to, padded, count)
      r += rows
    }
  }
}

/** y = acc / l and lse = m·ln 2 + ln l of `count` rows of a panel. */
function deliver(
  panel: usize, count: u32, E: u32, y: usize, stride: usize, lse: usize, next: usize,
): void {
  const bytes = <usize>E * 4
  const padded = paddedBytes(E)
  let acc = panel + queriesAt + bytes * 16
  for (let lane: usize = 0; lane < 64; lane += 16) {
    const l = logVector(v128.load(panel + lane, sumsAt))
    const m = f32x4.mul(v128.load(panel + lane, maximaAt), f32x4.splat(ln2))
    v128.store(panel + lane, f32x4.add(l, m), maximaAt)
  }
  for (let r: usize = 0; r < count; r++, acc += padded, y += stride) {
    const share: f32 = 1 / load<f32>(panel + r * 4, sumsAt)
    scaleInto(acc, E, share, y)
    store<f32>(lse + r * next, load<f32>(panel + r * 4, maximaAt))
  }
}

/** An empty panel of `count` queries from position t on. */
function place(
  panel: usize, q: usize, stride: usize, starts: usize, t: u32, count: u32, E: u32, scale: f32,
): void {
  for (let at: usize = 0; at < 64; at += 16) {
    v128.store(panel + at, f32x4.splat(lowest), maximaAt)
    v128.store(panel + at, f32x4.splat(0), sumsAt)
  }
  placeKeys(starts, t, count, panel + firstsAt, panel + boundsAt)
  packPanel(q, stride, count, E, scale / ln2, panel + queriesAt)
  memory.fill(panel + queriesAt + 64 * <usize>E, 0, 16 * paddedBytes(E))
}

/** Panels of `count` queries from t on, over keys and values of one head. */
function attendBlock(
  panels: usize, panelBytes: usize, keys: usize, values: usize, t: u32, count: u32, E: u32,
): void {
  const bytes = <usize>E * 4
  const scores = scratch()
  const last = panels + <usize>((count - 1) / lanes) * panelBytes
  let first: u32 = t
  for (let p = panels; p <= last; p += panelBytes) first = min(first, load<u32>(p, boundsAt))
  for (; first < t + count; first += blockKeys) {
    const n = min(blockKeys, t + count - first)
    let v = values + first * bytes
    if (bytes & 63) v = padRows(v, bytes, n, E, 1, panels + 3 * panelBytes)
    for (let p = panels; p <= last; p += panelBytes) {
      attend(p, scores, keys + first * bytes, v, first, n, E)
    }
  }
}

export function causalAttention(
  q: usize, keys: usize, values: usize, starts: usize, y: usize, lse: usize,
  B: u32, T: u32, H: u32, G: u32, E: u32, scale: f32, begin: u32, end: u32,
): void {
  const bytes = <usize>E * 4
  const stride = <usize>H * bytes
  const blocks = (T + blockQueries - 1) / blockQueries
  const panelBytes = queriesAt + 64 * <usize>E + 16 * paddedBytes(E)
  const panels = scratch() + blockKeys * 64
  for (let item = begin; item < end; item++) {
    const b = item / blocks / H, h = item / blocks % H
    const first = fromBothEnds(item % blocks, blocks) * blockQueries
    const count = min(blockQueries, T - first)
    const cache = <usize>(b * G + h / (H / G)) * T * bytes
    for (let i: u32 = 0; i < count; i += lanes) {
      const from = q + (<usize>(b * T + first + i) * H + h) * bytes
      const panel = panels + <usize>(i / lanes) * panelBytes
      const limits = starts + ((<usize>b * T) << 2)
      place(panel, from, stride, limits, first + i, min(lanes, count - i), E, scale)
    }
    attendBlock(panels, panelBytes, keys + cache, values + cache, first, count, E)
    for (let i: u32 = 0; i < count; i += lanes) {
      const row = <usize>(b * T + first + i) * H + h
      const panel = panels + <usize>(i / lanes) * panelBytes
      const to = lse + (row << 2)
      deliver(panel, min(lanes, count - i), E, y + row * bytes, stride, to, <usize>H << 2)
    }
  }
}
