// Per head of qkv: RMSNorm over E and rotation by the position's row of angles (rope.as.ts), and
// backwards. With u = x·rstd and d the cotangent of a rotated head, turned back:
//   dw += d·u,  dx = rstd·(d·w − u·mean(d·w·u));  values go through as they are.
// Parallel plan: forward one head of one position, backward 16 rows of qkv per work item, which own
// one part of dqNorm and of dkNorm. Bytes: every tensor once.
import { sumLanes } from "../shared/math.as"
import { rowsPerPart } from "../shared/parts.as"
import { rotateRow } from "./rope.as"
import { rstdOf, sumSquares } from "../norm/rmsnorm.as"
import { madd } from "../shared/simd.as"

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
  let sum = f32x4.splat(0), more = sum
  let j: usize = 0
  // In pairs, which V8 fuses into 256-bit operations.
  for (; j + 32 <= half; j += 32) {
    const at = angles + j, d1 = d + j, x1 = x + j, w1 = w + j, dw1 = dw + j, out1 = out + j
    const d2 = d1 + half, x2 = x1 + half, w2 = w1 + half, dw2 = dw1 + half, out2 = out1 + half
    const cos0 = v128.load(at), cos1 = v128.load(at, 16)
    const sin0 = v128.load(at + half), sin1 = v128.load(at + half, 16)
    const a0 = v128.load(d1), a1 = v128.load(d1, 16), b0 = v128.load(d2), b1 = v128.load(d2, 16)
    const e0 = f32x4.mul(a0, sin0), e1 = f32x4.mul(a1, sin1)
    const g0 = madd(a0, cos0, f32x4.mul(b0, sin0)), g1 = madd(a1, cos1, f32x4.mul(b1, sin1))
    const h0 = madd(b0, cos0, f32x4.neg(e0)), h1 = madd(b1, cos1, f32x4.neg(e1))
    const u0 = f32x4.mul(v128.load(x1), r), u1 = f32x4.mul(v128.load(x1, 16), r)
    const v0 = f32x4.mul(v128.load(x2), r), v1 = f32x4.mul(v128.load(x2, 16), r)
    const m0 = madd(g0, u0, v128.load(dw1)), m1 = madd(g1, u1, v128.load(dw1, 16))
    const n0 = madd(h0, v0, v128.load(dw2)), n1 = madd(h1, v1, v128.load(dw2, 16))
    const p0 = f32x4.mul(g0, v128.load(w1)), p1 = f32x4.mul(g1, v128.load(w1, 16))
    const q0 = f32x4.mul(h0, v128.load(w2)), q1 = f32x4.mul(h1, v128.load(w2, 16))
    v128.store(dw1, m0)
    v128.store(dw1, m1, 16)
    v128.store(dw2, n0)
    v128.store(dw2, n1, 16)
    v128.store(out1, p0)
    v128.store(out1, p1, 16)
    v128.store(out2, q0)
    v128.store(out2, q1, 16)
    sum = madd(p0, u0, madd(q0, v0, sum))
    more = madd(p1, u1, madd(q1, v1, more))
  }
  const rest = turnRest(x, w, angles, d, dw, out, half, j, rstd)
  return sumLanes(f32x4.add(sum, more)) + rest
}

/** What turnBack does for the numbers from byte j of each half on. */
function turnRest(
  x: usize, w: usize, angles: usize, d: usize, dw: usize, out: usize, half: usize, j: usize,
  rstd: f32,
): f32 {
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
  return rest
}

/** dx = rstd·(g − x·rstd·mean), g in the place of dx. */
function finishRow(x: usize, dx: usize, E: u32, rstd: f32, mean: f32): void {
  const bytes = (<usize>E) << 2
  const share = -rstd * rstd * mean
  const a = f32x4.splat(rstd), b = f32x4.splat(share)
  let j: usize = 0
  for (; j + 32 <= bytes; j += 32) {
    const d0 = f32x4.mul(v128.load(dx + j), a), d1 = f32x4.mul(v128.load(dx + j, 16), a)
    v128.store(dx + j, madd(v128.load(x + j), b, d0))
    v128.store(dx + j, madd(v128.load(x + j, 16), b, d1), 16)
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
