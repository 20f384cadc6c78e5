// The gradient of y = u·w + b, u = (x − mean)·rstd: with g = dy·w,
//   dx = rstd·(g − mean(g) − u·mean(g·u)),  dw = Σ dy·u and db = Σ dy over 16 rows, one part of R.
// Parallel plan: 16 rows and their parts per work item. Bytes: x and dy are read once from memory, twice
// more from the cache; mean and variance are computed once more rather than kept.
import { sumLanes } from "../shared/math.as"
import { rowsPerPart } from "../shared/parts.as"
import { madd } from "../shared/simd.as"
import { sumCentred } from "./layernorm.as"
import { rstdOf } from "./rmsnorm.as"

/** Σ dy·w. */
function weightedSum(w: usize, dy: usize, D: u32): f32 {
  let a = f32x4.splat(0), b = a
  const end = dy + ((<usize>D) << 2)
  for (; dy + 32 <= end; dy += 32, w += 32) {
    a = madd(v128.load(dy), v128.load(w), a)
    b = madd(v128.load(dy, 16), v128.load(w, 16), b)
  }
  let rest: f32 = 0
  for (; dy < end; dy += 4, w += 4) rest += load<f32>(dy) * load<f32>(w)
  return sumLanes(f32x4.add(a, b)) + rest
}

/** Σ dy·w·(x − mean). */
function weightedCentred(x: usize, w: usize, dy: usize, D: u32, mean: f32): f32 {
  const m = f32x4.splat(mean)
  let a = f32x4.splat(0), b = a
  const end = dy + ((<usize>D) << 2)
  for (; dy + 32 <= end; dy += 32, w += 32, x += 32) {
    const g0 = f32x4.mul(v128.load(dy), v128.load(w))
    const g1 = f32x4.mul(v128.load(dy, 16), v128.load(w, 16))
    a = madd(g0, f32x4.sub(v128.load(x), m), a)
    b = madd(g1, f32x4.sub(v128.load(x, 16), m), b)
  }
  let rest: f32 = 0
  for (; dy < end; dy += 4, w += 4, x += 4) {
    rest += load<f32>(dy) * load<f32>(w) * (load<f32>(x) - mean)
  }
  return sumLanes(f32x4.add(a, b)) + rest
}

/** dx of a row, and its share of dw and db. */
function gradOfRow(
  x: usize, w: usize, dy: usize, dx: usize, dw: usize, db: usize, D: u32, eps: f32,
): void {
  const bytes = (<usize>D) << 2
  const mean = sumCentred(x, D, 0, false) / <f32>D
  const rstd = rstdOf(sumCentred(x, D, mean, true), D, eps)
  const count: f32 = 1 / <f32>D
  const meanG: f32 = weightedSum(w, dy, D) * count
  const meanGu: f32 = weightedCentred(x, w, dy, D, mean) * rstd * count
  const m = f32x4.splat(mean), r = f32x4.splat(rstd)
  const g = f32x4.splat(meanG), gu = f32x4.splat(meanGu)
  let e: usize = 0
  for (; e + 16 <= bytes; e += 16) {
    const d = v128.load(dy + e)
    const u = f32x4.mul(f32x4.sub(v128.load(x + e), m), r)
    const change = f32x4.sub(f32x4.sub(f32x4.mul(d, v128.load(w + e)), g), f32x4.mul(u, gu))
    v128.store(dx + e, f32x4.mul(change, r))
    v128.store(dw + e, madd(d, u, v128.load(dw + e)))
    v128.store(db + e, f32x4.add(d, v128.load(db + e)))
  }
  for (; e < bytes; e += 4) {
    const d = load<f32>(dy + e)
    const u = (load<f32>(x + e) - mean) * rstd
    store<f32>(dx + e, (d * load<f32>(w + e) - meanG - u * meanGu) * rstd)
    store<f32>(dw + e, load<f32>(dw + e) + d * u)
    store<f32>(db + e, load<f32>(db + e) + d)
  }
}

export function layerNormGrad(
  x: usize, w: usize, dy: usize, dx: usize, dwParts: usize, dbParts: usize,
  N: u32, D: u32, R: u32, eps: f32, begin: u32, end: u32,
): void {
  const bytes = <usize>D * 4
  for (let part = begin; part < end; part++) {
    const dw = dwParts + part * bytes
    const db = dbParts + part * bytes
    memory.fill(dw, 0, bytes)
    memory.fill(db, 0, bytes)
    const first = part * rowsPerPart
    const rows = min(rowsPerPart, N - first)
    for (let n = <usize>first; n < first + rows; n++) {
      const at = n * bytes
      gradOfRow(x + at, w, dy + at, dx + at, dw, db, D, eps)
    }
  }
}
