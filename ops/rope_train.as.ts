// Per head of qkv: RMSNorm over E and rotation by the position's row of angles (rope.as.ts), and
// backwards. With u = x·rstd and d the cotangent of a rotated head, turned back:
//   dw += d·u,  dx = rstd·(d·w − u·mean(d·w·u));  values go through as they are.
// Parallel plan: forward one head of one position, backward 16 rows of qkv per work item, which own
// one part of dqNorm and of dkNorm. Bytes: every tensor once.
import { sumLanes } from "./math.as"
import { rowsPerPart } from "./parts.as"
import { rotateRow } from "./rope.as"
import { rstdOf, sumSquares } from "./rmsnorm.as"
import { madd } from "./simd.as"

export function qkNormRopeTrain(
  qkv: usize, qNorm: usize, kNorm: usize, angles: usize, q: usize, keys: usize, values: usize,
  B: u32, T: u32, H: u32, G: u32, E: u32, C: u32, eps: f32, begin: u32, end: u32,
): void {
  const heads = H + 2 * G
  const bytes = (<usize>E) << 2
  for (let i = begin; i < end; i++) {
    const row = i / heads
    const head = i % heads
    const b = row / T
    const t = row % T
    const x = qkv + (<usize>i) * bytes
    const table = angles + (<usize>t) * bytes
    if (head < H) {
      const y = q + (<usize>row * H + head) * bytes
      rotateRow(x, qNorm, table, y, E, rstdOf(sumSquares(x, E), E, eps))
      continue
    }
    const isKey = head < H + G
    const to = (<usize>(b * G + head - (isKey ? H : H + G)) * T + t) * bytes
    if (isKey) rotateRow(x, kNorm, table, keys + to, E, rstdOf(sumSquares(x, E), E, eps))
    else memory.copy(values + to, x, bytes)
  }
}

/** Turns d of E numbers back by `angles`, adds d·u to dw, writes d·w to `out`; returns Σ d·w·u. */
function turnBack(
  x: usize, w: usize, angles: usize, d: usize, dw: usize, out: usize, E: u32, rstd: f32,
): f32 {
  const half = (<usize>E) << 1
  const r = f32x4.splat(rstd)
  let sum = f32x4.splat(0)
  let j: usize = 0
  for (; j + 16 <= half; j += 16) {
    const cos = v128.load(angles + j), sin = v128.load(angles + half + j)
    const d1 = v128.load(d + j), d2 = v128.load(d + half + j)
    const g1 = madd(d1, cos, f32x4.mul(d2, sin))
    const g2 = madd(d2, cos, f32x4.neg(f32x4.mul(d1, sin)))
    const u1 = f32x4.mul(v128.load(x + j), r), u2 = f32x4.mul(v128.load(x + half + j), r)
    v128.store(dw + j, madd(g1, u1, v128.load(dw + j)))
    v128.store(dw + half + j, madd(g2, u2, v128.load(dw + half + j)))
    const w1 = f32x4.mul(g1, v128.load(w + j)), w2 = f32x4.mul(g2, v128.load(w + half + j))
    v128.store(out + j, w1)
    v128.store(out + half + j, w2)
    sum = madd(w1, u1, madd(w2, u2, sum))
  }
  let rest: f32 = 0
  for (; j < half; j += 4) {
    const cos = load<f32>(angles + j), sin = load<f32>(angles + half + j)
    const d1 = load<f32>(d + j), d2 = load<f32>(d + half + j)
    const g1 = d1 * cos + d2 * sin, g2 = d2 * cos - d1 * sin
    const u1 = load<f32>(x + j) * rstd, u2 = load<f32>(x + half + j) * rstd
    store<f32>(dw + j, load<f32>(dw + j) + g1 * u1)
    store<f32>(dw + half + j, load<f32>(dw + half + j) + g2 * u2)
    const w1 = g1 * load<f32>(w + j), w2 = g2 * load<f32>(w + half + j)
    store<f32>(out + j, w1)
    store<f32>(out + half + j, w2)
    rest += w1 * u1 + w2 * u2
  }
  return sumLanes(sum) + rest
}

/** dx = rstd·(g − x·rstd·mean), g in the place of dx. */
function finishRow(x: usize, dx: usize, E: u32, rstd: f32, mean: f32): void {
  const bytes = (<usize>E) << 2
  const share = -rstd * rstd * mean
  const a = f32x4.splat(rstd), b = f32x4.splat(share)
  let j: usize = 0
  for (; j + 16 <= bytes; j += 16) {
    v128.store(dx + j, madd(v128.load(x + j), b, f32x4.mul(v128.load(dx + j), a)))
  }
  for (; j < bytes; j += 4) {
    store<f32>(dx + j, load<f32>(x + j) * share + load<f32>(dx + j) * rstd)
  }
}

/** One head: dx from the cotangent d of its rotated form, and its share of dw. */
function headGrad(
  x: usize, w: usize, angles: usize, d: usize, dw: usize, dx: usize, E: u32, eps: f32,
): void {
  const rstd = rstdOf(sumSquares(x, E), E, eps)
  const sum = turnBack(x, w, angles, d, dw, dx, E, rstd)
  finishRow(x, dx, E, rstd, sum / <f32>E)
}

export function qkNormRopeTrainGrad(
  qkv: usize, qNorm: usize, kNorm: usize, angles: usize, dq: usize, dKeys: usize, dValues: usize,
  dqkv: usize, dqParts: usize, dkParts: usize,
  B: u32, T: u32, H: u32, G: u32, E: u32, R: u32, eps: f32, begin: u32, end: u32,
): void {
  const heads = H + 2 * G
  const bytes = (<usize>E) << 2
  for (let part = begin; part < end; part++) {
    const qPart = dqParts + part * bytes
    const kPart = dkParts + part * bytes
    memory.fill(qPart, 0, bytes)
    memory.fill(kPart, 0, bytes)
    const last = min((part + 1) * rowsPerPart, B * T)
    for (let row = part * rowsPerPart; row < last; row++) {
      const b = row / T
      const t = row % T
      const table = angles + <usize>t * bytes
      let at = <usize>row * heads * bytes
      const dqRow = dq + <usize>row * H * bytes
      for (let h: usize = 0; h < H; h++, at += bytes) {
        headGrad(qkv + at, qNorm, table, dqRow + h * bytes, qPart, dqkv + at, E, eps)
      }
      const cache = (<usize>b * G * T + t) * bytes
      for (let g: usize = 0; g < G; g++, at += bytes) {
        headGrad(qkv + at, kNorm, table, dKeys + cache + g * T * bytes, kPart, dqkv + at, E, eps)
      }
      for (let g: usize = 0; g < G; g++, at += bytes) {
        memory.copy(dqkv + at, dValues + cache + g * T * bytes, bytes)
      }
    }
  }
}
