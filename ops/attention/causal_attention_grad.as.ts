// The gradient of causal attention, its weights p = exp(scale·q·kᵀ − lse) computed once more. With
// delta = Σ dy·y of a query and s = p·(dy·vᵀ − delta) of a query and a key:
//   dv = pᵀ·dy,  dk = scale·sᵀ·q,  dq = scale·s·k.
// Blocks of 48 queries of one head run over blocks of 48 keys. p and s lie as (key, 48), a lane
// for each query; five products per pair of blocks, tiles that are wholly hidden left out.
// Parallel plan: a work item is one of R parts of a key head's query heads, which owns its rows of
// dq and its sums for keys and values. Bytes: keys, values and their sums once per block of
// queries.
import { scratch } from "../../backends/wasm/thread.as"
import {
  hiddenLanes, lanes, packPanel, padRows, paddedBytes, placeKeys, scaleInto, tileRows,
} from "./attention_panel.as"
import { columnsProduct, rowsProduct } from "./attention_tile.as"
import { exp2Constant, exp2Vector } from "../shared/exp2.as"
import { sumLanes } from "../shared/math.as"
import { hasWideTiles } from "../product/matmul.as"
import { madd } from "../shared/simd.as"

const panels: u32 = 3
const blockQueries: u32 = 48
const blockKeys: u32 = 48
const rowBytes: usize = 4 * blockQueries // of p and s
const ln2: f32 = 0.6931471805599453

// Scratch memory: p and s; for each panel −lse / ln 2, −delta, firsts, lasts and bounds; Qᵀ and dYᵀ
// by panel; then, in rows of E rounded up to 16, Q, dY and dQ by query, and copies of a block of
// keys and of its two sums where E is no multiple of 16.
const weightsAt: usize = 0
const scoresAt: usize = blockKeys * rowBytes
const panelsAt: usize = 2 * scoresAt
const panelBytes: usize = 320
const lseAt: usize = 0
const deltaAt: usize = 64
const firstsAt: usize = 128 // and lasts
const boundsAt: usize = 256
const matricesAt: usize = panelsAt + panels * panelBytes

// @ts-ignore: decorator
@inline
function panelAt(p: u32): usize { return scratch() + panelsAt + p * panelBytes }
// @ts-ignore: decorator
@inline
function queriesAt(p: u32, E: u32): usize { return scratch() + matricesAt + <usize>(p * E) * 64 }
// @ts-ignore: decorator
@inline
function cotangentsAt(p: u32, E: u32): usize { return queriesAt(panels + p, E) }
/** Matrix i of rows of E rounded up to 16: Q, dY, dQ, keys, dKeys, dValues. */
// @ts-ignore: decorator
@inline
function rowsAt(i: u32, E: u32): usize {
  return queriesAt(2 * panels, E) + <usize>(i * blockQueries) * paddedBytes(E)
}

/** Σ a·b over E numbers. */
function inner(a: usize, b: usize, E: u32): f32 {
  const end = a + ((<usize>E) << 2)
  let sum = f32x4.splat(0)
  for (; a + 16 <= end; a += 16, b += 16) sum = madd(v128.load(a), v128.load(b), sum)
  let rest: f32 = 0
  for (; a < end; a += 4, b += 4) rest += load<f32>(a) * load<f32>(b)
  return sumLanes(sum) + rest
}

/** Brings `count` queries from position t on into scratch; the pointers are to their first rows. */
function place(
  q: usize, y: usize, dy: usize, lse: usize, starts: usize, t: u32, count: u32, H: u32, E: u32,
  scale: f32,
): void {
  const stride = <usize>(H * E) * 4
  padRows(q, stride, count, E, scale, rowsAt(0, E))
  padRows(dy, stride, count, E, 1, rowsAt(1, E))
  memory.fill(rowsAt(2, E), 0, blockQueries * paddedBytes(E))
  for (let p: u32 = 0; p * lanes < count; p++) {
    const panel = panelAt(p)
    const rows = min(lanes, count - p * lanes)
    placeKeys(starts, t + p * lanes, rows, panel + firstsAt, panel + boundsAt)
    const at = p * lanes * paddedBytes(E)
    packPanel(q + p * lanes * stride, stride, rows, E, scale / ln2, queriesAt(p, E))
    packPanel(rowsAt(1, E) + at, paddedBytes(E), rows, E, 1, cotangentsAt(p, E))
    for (let lane: u32 = 0; lane < lanes; lane++) {
      const r = p * lanes + min(lane, rows - 1)
      const delta = inner(y + r * stride, dy + r * stride, E)
      store<f32>(panel + lane * 4, load<f32>(lse + (r * H) * 4) / -ln2, lseAt)
      store<f32>(panel + lane * 4, -delta, deltaAt)
    }
  }
}

/** p and s of a panel from what the products left: p = 2^p, s *= p; both 0 where hidden. */
// @ts-ignore: decorator
@inline
function weigh(masked: bool, panel: usize, weights: usize, first: u32, n: u32): void {
  const c0 = exp2Constant(0), c1 = exp2Constant(1), c2 = exp2Constant(2), c3 = exp2Constant(3)
  const c4 = exp2Constant(4), c5 = exp2Constant(5), c6 = exp2Constant(6), c7 = exp2Constant(7)
  for (let i: u32 = 0; i < n; i++, weights += rowBytes) {
    const key = i32x4.splat(first + i)
    for (let lane: usize = 0; lane < 64; lane += 32) {
      const at = weights + lane
      let p0 = exp2Vector(v128.load(at), c0, c1, c2, c3, c4, c5, c6, c7)
      let p1 = exp2Vector(v128.load(at, 16), c0, c1, c2, c3, c4, c5, c6, c7)
      if (masked) {
        p0 = v128.andnot(p0, hiddenLanes(key, panel + firstsAt + lane))
        p1 = v128.andnot(p1, hiddenLanes(key, panel + firstsAt + lane + 16))
      }
      const s0 = f32x4.mul(p0, v128.load(at, scoresAt))
      const s1 = f32x4.mul(p1, v128.load(at, scoresAt + 16))
      v128.store(at, p0)
      v128.store(at, p1, 16)
      v128.store(at, s0, scoresAt)
      v128.store(at, s1, scoresAt + 16)
    }
  }
}

function weighAll(panel: usize, weights: usize, first: u32, n: u32): void {
  weigh(false, panel, weights, first, n)
}
function weighSeen(panel: usize, weights: usize, first: u32, n: u32): void {
  weigh(true, panel, weights, first, n)
}

/** p, s and the share of dq of panel i and keys first … first + n − 1; `rows` is k padded. */
function panelGrad(
  i: u32, count: u32, k: usize, v: usize, rows: usize, first: u32, n: u32, E: u32,
): void {
  const wide = hasWideTiles()
  const bytes = <usize>E * 4
  const padded = paddedBytes(E)
  const panel = panelAt(i)
  const weights = scratch() + weightsAt + i * 64
  for (let r: u32 = 0; r < n; r += 6) {
    const m = min(6, n - r)
    const to = weights + r * rowBytes
    const lse = panel + lseAt, delta = panel + deltaAt
    rowsProduct(m, wide, k + r * bytes, bytes, queriesAt(i, E), 64, lse, 0, to, rowBytes, E)
    rowsProduct(
      m, wide, v + r * bytes, bytes, cotangentsAt(i, E), 64, delta, 0, to + scoresAt, rowBytes, E)
  }
  const whole = first + n - 1 <= load<u32>(panel, boundsAt + 8)
    && <i32>first >= load<i32>(panel, boundsAt + 4)
  if (whole) weighAll(panel, weights, first, n)
  else weighSeen(panel, weights, first, n)
  const dq = rowsAt(2, E) + i * lanes * padded
  for (let e: usize = 0; e < padded; e += 64) {
    for (let j: u32 = 0, r: u32 = 0; j < 3 && i * lanes + r < count; j++) {
      const to = dq + r * padded + e
      const from = weights + scoresAt + r * 4
      columnsProduct(tileRows(j), wide, from, rowBytes, rows + e, padded, to, padded, to, padded, n)
      r += tileRows(j)
    }
  }
}

/** Columns e of dk and dv (m rows of E padded) += the shares of queries from `skip` to `count`. */
// @ts-ignore: decorator
@inline
function keyGrad(
  wide: bool, weights: usize, m: u32, skip: u32, count: u32, dk: usize, dv: usize, e: usize,
  E: u32,
): void {
  const padded = paddedBytes(E)
  const n = count - skip
  const at = weights + skip * 4
  const q = rowsAt(0, E) + skip * padded + e, dy = rowsAt(1, E) + skip * padded + e
  rowsProduct(m, wide, at, rowBytes, dy, padded, dv, padded, dv, padded, n)
  rowsProduct(m, wide, at + scoresAt, rowBytes, q, padded, dk, padded, dk, padded, n)
}

/** Keys of a block from `first` on, n of them, against the queries in scratch. */
function blockGrad(
  k: usize, v: usize, rows: usize, dk: usize, dv: usize, first: u32, n: u32, count: u32, E: u32,
): void {
  const padded = paddedBytes(E)
  for (let p: u32 = 0; p * lanes < count; p++) {
    const seen = keysOf(p, first, n)
    if (seen) panelGrad(p, count, k, v, rows, first, seen, E)
  }
  // Column by column, so that those of Q and dY stay in the first-level cache.
  const wide = hasWideTiles()
  for (let e: usize = 0; e < padded; e += 64) {
    for (let r: u32 = 0, p: u32 = 0; r < n; r += 6) {
      while (keysOf(p, first, n) <= r) p++
      const at = r * padded + e
      const weights = scratch() + weightsAt + r * rowBytes
      keyGrad(wide, weights, min(6, n - r), p * lanes, count, dk + at, dv + at, e, E)
    }
  }
}

/** Keys of n from `first` on that panel p computes: whole tiles of six, up to its last query. */
// @ts-ignore: decorator
@inline
function keysOf(p: u32, first: u32, n: u32): u32 {
  const end = load<u32>(panelAt(p), boundsAt + 12) + 1
  return end > first ? min(n, (end - first + 5) / 6 * 6) : 0
}

/** Runs the queries in scratch over all their keys, and writes dq. */
function queriesGrad(
  k: usize, v: usize, dk: usize, dv: usize, dq: usize, stride: usize, t: u32, count: u32, E: u32,
  scale: f32,
): void {
  const bytes = <usize>E * 4
  const padded = paddedBytes(E)
  let first: u32 = t
  for (let p: u32 = 0; p * lanes < count; p++) first = min(first, load<u32>(panelAt(p), boundsAt))
  for (; first < t + count; first += blockKeys) {
    const n = min(blockKeys, t + count - first)
    const at = first * bytes
    if (padded === bytes) {
      blockGrad(k + at, v + at, k + at, dk + at, dv + at, first, n, count, E)
      continue
    }
    padRows(k + at, bytes, n, E, 1, rowsAt(3, E))
    padRows(dk + at, bytes, n, E, 1, rowsAt(4, E))
    padRows(dv + at, bytes, n, E, 1, rowsAt(5, E))
    blockGrad(k + at, v + at, rowsAt(3, E), rowsAt(4, E), rowsAt(5, E), first, n, count, E)
    for (let r: usize = 0; r < n; r++) {
      scaleInto(rowsAt(4, E) + r * padded, E, 1, dk + at + r * bytes)
      scaleInto(rowsAt(5, E) + r * padded, E, 1, dv + at + r * bytes)
    }
  }
  for (let r: usize = 0; r < count; r++) {
    scaleInto(rowsAt(2, E) + r * padded, E, scale, dq + r * stride)
  }
}

export function causalAttentionGrad(
  q: usize, keys: usize, values: usize, starts: usize, y: usize, lse: usize, dy: usize,
  dq: usize, dKeyParts: usize, dValueParts: usize,
  B: u32, T: u32, H: u32, G: u32, E: u32, R: u32, scale: f32, begin: u32, end: u32,
): void {
  const bytes = <usize>E * 4
  const stride = <usize>H * bytes
  const heads = H / G / R
  for (let part = begin; part < end; part++) {
    const b = part / R / G
    const k = keys + <usize>(part / R * T) * bytes
    const v = values + <usize>(part / R * T) * bytes
    const dk = dKeyParts + <usize>(part * T) * bytes
    const dv = dValueParts + <usize>(part * T) * bytes
    memory.fill(dk, 0, T * bytes)
    memory.fill(dv, 0, T * bytes)
    const firstHead = part % (G * R) * heads
    for (let h = firstHead; h < firstHead + heads; h++) {
      for (let t: u32 = 0; t < T; t += blockQueries) {
        const row = <usize>(b * T + t) * H + h
        const at = row * bytes
        const count = min(blockQueries, T - t)
        const limits = starts + ((<usize>b * T) << 2)
        place(q + at, y + at, dy + at, lse + (row << 2), limits, t, count, H, E, scale)
        queriesGrad(k, v, dk, dv, dq + at, stride, t, count, E, scale)
      }
    }
  }
}
