// The two ceilings: bytes read per second and multiply-adds per second (ceiling.ts). Parallel
// over R. streamSum reads 256 bytes a round into eight sums; multiplyAdd touches registers only.
import { scratch } from "../../backends/wasm/thread.as"
import { sumLanes } from "../shared/math.as"
import { madd } from "../shared/simd.as"

/** Sum of the lanes of `count` vectors. */
function totalOf(at: usize, count: usize): f32 {
  let sum = v128.load(at)
  for (let i: usize = 1; i < count; i++) sum = f32x4.add(sum, v128.load(at + 16 * i))
  return sumLanes(sum)
}

/** x (R, C, 16) → y (R) */
export function streamSum(x: usize, y: usize, R: u32, C: u32, begin: u32, end: u32): void {
  const at = scratch()
  for (let r = begin; r < end; r++) {
    memory.fill(at, 0, 128)
    addPart(x + <usize>r * C * 64, <usize>C * 64, at)
    store<f32>(y + <usize>r * 4, totalOf(at, 8))
  }
}

// Neighbours are loaded, worked on and stored together: V8 fuses such pairs where it can.
function addPart(x: usize, bytes: usize, at: usize): void {
  const end = x + bytes
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  while (x < end) {
    a = f32x4.add(a, v128.load(x)); b = f32x4.add(b, v128.load(x, 16))
    c = f32x4.add(c, v128.load(x, 32)); d = f32x4.add(d, v128.load(x, 48))
    e = f32x4.add(e, v128.load(x, 64)); f = f32x4.add(f, v128.load(x, 80))
    g = f32x4.add(g, v128.load(x, 96)); h = f32x4.add(h, v128.load(x, 112))
    a = f32x4.add(a, v128.load(x, 128)); b = f32x4.add(b, v128.load(x, 144))
    c = f32x4.add(c, v128.load(x, 160)); d = f32x4.add(d, v128.load(x, 176))
    e = f32x4.add(e, v128.load(x, 192)); f = f32x4.add(f, v128.load(x, 208))
    g = f32x4.add(g, v128.load(x, 224)); h = f32x4.add(h, v128.load(x, 240))
    x += 256
  }
  v128.store(at, a); v128.store(at, b, 16); v128.store(at, c, 32); v128.store(at, d, 48)
  v128.store(at, e, 64); v128.store(at, f, 80); v128.store(at, g, 96); v128.store(at, h, 112)
}

/** x (R) → y (R): lanes by twenties of registers, where V8 fuses them in pairs, or by twelves. */
export function multiplyAdd(
  x: usize, y: usize, R: u32, Count: u32, Lanes: u32, begin: u32, end: u32,
): void {
  const at = scratch()
  const isWide = Lanes % 80 === 0
  const registers: usize = isWide ? 20 : 12
  for (let r = begin; r < end; r++) {
    const start = v128.load32_splat(x + <usize>r * 4)
    store<f32>(at, 0.5, 512)
    store<f32>(at, f32x4.extract_lane(start, 0), 516)
    let total: f32 = 0
    for (let done: usize = 0; done < Lanes; done += 4 * registers) {
      for (let i: usize = 0; i < registers; i++) v128.store(at + 16 * i, start)
      if (isWide) rounds20(at, Count)
      else rounds12(at, Count)
      total += totalOf(at, registers)
    }
    store<f32>(y + <usize>r * 4, total)
  }
}

function rounds12(at: usize, count: u32): void {
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  let i = v128.load(at, 128), j = v128.load(at, 144)
  let k = v128.load(at, 160), l = v128.load(at, 176)
  const half = v128.load32_splat(at, 512), x = v128.load32_splat(at, 516)
  while (count) {
    a = madd(a, half, x); b = madd(b, half, x); c = madd(c, half, x); d = madd(d, half, x)
    e = madd(e, half, x); f = madd(f, half, x); g = madd(g, half, x); h = madd(h, half, x)
    i = madd(i, half, x); j = madd(j, half, x); k = madd(k, half, x); l = madd(l, half, x)
    count--
  }
  v128.store(at, a); v128.store(at, b, 16); v128.store(at, c, 32); v128.store(at, d, 48)
  v128.store(at, e, 64); v128.store(at, f, 80); v128.store(at, g, 96); v128.store(at, h, 112)
  v128.store(at, i, 128); v128.store(at, j, 144)
  v128.store(at, k, 160); v128.store(at, l, 176)
}

function rounds20(at: usize, count: u32): void {
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  let i = v128.load(at, 128), j = v128.load(at, 144)
  let k = v128.load(at, 160), l = v128.load(at, 176)
  let m = v128.load(at, 192), n = v128.load(at, 208)
  let o = v128.load(at, 224), p = v128.load(at, 240)
  let q = v128.load(at, 256), r = v128.load(at, 272)
  let s = v128.load(at, 288), t = v128.load(at, 304)
  const half = v128.load32_splat(at, 512), x = v128.load32_splat(at, 516)
  while (count) {
    a = madd(a, half, x); b = madd(b, half, x); c = madd(c, half, x); d = madd(d, half, x)
    e = madd(e, half, x); f = madd(f, half, x); g = madd(g, half, x); h = madd(h, half, x)
    i = madd(i, half, x); j = madd(j, half, x); k = madd(k, half, x); l = madd(l, half, x)
    m = madd(m, half, x); n = madd(n, half, x); o = madd(o, half, x); p = madd(p, half, x)
    q = madd(q, half, x); r = madd(r, half, x); s = madd(s, half, x); t = madd(t, half, x)
    count--
  }
  v128.store(at, a); v128.store(at, b, 16); v128.store(at, c, 32); v128.store(at, d, 48)
  v128.store(at, e, 64); v128.store(at, f, 80); v128.store(at, g, 96); v128.store(at, h, 112)
  v128.store(at, i, 128); v128.store(at, j, 144)
  v128.store(at, k, 160); v128.store(at, l, 176)
  v128.store(at, m, 192); v128.store(at, n, 208)
  v128.store(at, o, 224); v128.store(at, p, 240)
  v128.store(at, q, 256); v128.store(at, r, 272)
  v128.store(at, s, 288); v128.store(at, t, 304)
}
