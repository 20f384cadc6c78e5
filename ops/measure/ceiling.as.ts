// The ceilings (ceiling.ts): bytes read per second, multiply-adds per second of floats and of whole
// numbers. Parallel over R. streamSum reads in each of the ways that the products read weights, and
// some that they do not; the others touch registers only.
import { scratch } from "../../backends/wasm/thread.as"
import { dot16, dot7, hasDot } from "../product/quantized_dot.as"
import { sumLanes } from "../shared/math.as"
import { madd } from "../shared/simd.as"
import { lookAhead, lookUntil } from "../shared/stream.as"

/** Sum of the lanes of `count` vectors. */
function totalOf(at: usize, count: usize): f32 {
  let sum = v128.load(at)
  for (let i: usize = 1; i < count; i++) sum = f32x4.add(sum, v128.load(at + 16 * i))
  return sumLanes(sum)
}

const pageBytes: usize = 4096

/** x (R, C, 16) → y (R): Streams parts at a time, side by side; fewer that are left one by one. */
export function streamSum(
  x: usize, y: usize, R: u32, C: u32, Streams: u32, Ahead: u32, begin: u32, end: u32,
): void {
  const at = scratch(), bytes = <usize>C * 64
  const last = min(R, end * Streams)
  const until = Ahead ? lookUntil(x + last * bytes) : 0
  for (let r = begin * Streams; r < last;) {
    const count: u32 = last - r < Streams ? 1 : Streams
    const from = x + r * bytes
    memory.fill(at, 0, 128)
    if (count === 4) addFour(from, bytes, at)
    else if (count === 2) addTwo(from, bytes, at, until)
    else addOne(from, bytes, at, until)
    const vectors: usize = 8 / <usize>count
    for (let i: u32 = 0; i < count; i++, r++) {
      store<f32>(y + <usize>r * 4, totalOf(at + 16 * vectors * i, vectors))
    }
  }
}

// Neighbours are loaded, worked on and stored together: V8 fuses such pairs where it can.
function addOne(x: usize, bytes: usize, at: usize, until: usize): void {
  const end = x + bytes
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  while (x < end) {
    const page = min(end, x + pageBytes)
    lookAhead(x, until, at + 128)
    while (x < page) {
      a = f32x4.add(a, v128.load(x)); b = f32x4.add(b, v128.load(x, 16))
      c = f32x4.add(c, v128.load(x, 32)); d = f32x4.add(d, v128.load(x, 48))
      e = f32x4.add(e, v128.load(x, 64)); f = f32x4.add(f, v128.load(x, 80))
      g = f32x4.add(g, v128.load(x, 96)); h = f32x4.add(h, v128.load(x, 112))
      x += 128
    }
  }
  v128.store(at, a); v128.store(at, b, 16); v128.store(at, c, 32); v128.store(at, d, 48)
  v128.store(at, e, 64); v128.store(at, f, 80); v128.store(at, g, 96); v128.store(at, h, 112)
}

function addTwo(x: usize, bytes: usize, at: usize, until: usize): void {
  const end = x + bytes
  let z = end
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  while (x < end) {
    const page = min(end, x + pageBytes)
    lookAhead(x, until, at + 128)
    lookAhead(z, until, at + 132)
    while (x < page) {
      a = f32x4.add(a, v128.load(x)); b = f32x4.add(b, v128.load(x, 16))
      c = f32x4.add(c, v128.load(x, 32)); d = f32x4.add(d, v128.load(x, 48))
      e = f32x4.add(e, v128.load(z)); f = f32x4.add(f, v128.load(z, 16))
      g = f32x4.add(g, v128.load(z, 32)); h = f32x4.add(h, v128.load(z, 48))
      x += 64
      z += 64
    }
  }
  v128.store(at, a); v128.store(at, b, 16); v128.store(at, c, 32); v128.store(at, d, 48)
  v128.store(at, e, 64); v128.store(at, f, 80); v128.store(at, g, 96); v128.store(at, h, 112)
}

function addFour(x: usize, bytes: usize, at: usize): void {
  const end = x + bytes
  let y = end, z = y + bytes, w = z + bytes
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  while (x < end) {
    a = f32x4.add(a, v128.load(x)); b = f32x4.add(b, v128.load(x, 16))
    c = f32x4.add(c, v128.load(y)); d = f32x4.add(d, v128.load(y, 16))
    e = f32x4.add(e, v128.load(z)); f = f32x4.add(f, v128.load(z, 16))
    g = f32x4.add(g, v128.load(w)); h = f32x4.add(h, v128.load(w, 16))
    a = f32x4.add(a, v128.load(x, 32)); b = f32x4.add(b, v128.load(x, 48))
    c = f32x4.add(c, v128.load(y, 32)); d = f32x4.add(d, v128.load(y, 48))
    e = f32x4.add(e, v128.load(z, 32)); f = f32x4.add(f, v128.load(z, 48))
    g = f32x4.add(g, v128.load(w, 32)); h = f32x4.add(h, v128.load(w, 48))
    x += 64
    y += 64
    z += 64
    w += 64
  }
  v128.store(at, a); v128.store(at, b, 16); v128.store(at, c, 32); v128.store(at, d, 48)
  v128.store(at, e, 64); v128.store(at, f, 80); v128.store(at, g, 96); v128.store(at, h, 112)
}

/** What a round is: of floats, of four bytes in each lane, of two words. */
const floats: u32 = 0
const fours: u32 = 1
const pairs: u32 = 2

/** x (R) → y (R): lanes by twenties of registers, where V8 fuses them in pairs, or by twelves. */
export function multiplyAdd(
  x: usize, y: usize, R: u32, Count: u32, Lanes: u32, begin: u32, end: u32,
): void {
  const at = scratch()
  const registers: usize = Lanes % 80 === 0 ? 20 : 12
  for (let r = begin; r < end; r++) {
    const start = v128.load32_splat(x + <usize>r * 4)
    store<f32>(at, 0.5, 512)
    store<f32>(at, f32x4.extract_lane(start, 0), 516)
    let total: f32 = 0
    for (let done: usize = 0; done < Lanes; done += 4 * registers) {
      for (let i: usize = 0; i < registers; i++) v128.store(at + 16 * i, start)
      if (registers === 20) floats20(at, Count)
      else floats12(at, Count)
      total += totalOf(at, registers)
    }
    store<f32>(y + <usize>r * 4, total)
  }
}

/** x (R) → y (R), by the dot that products of quantized rows use here: of bytes, or of words. */
export function multiplyAddWhole(
  x: usize, y: usize, R: u32, Count: u32, Lanes: u32, begin: u32, end: u32,
): void {
  const at = scratch(), bytes = hasDot()
  const registers: usize = Lanes % 80 === 0 ? 20 : 12
  for (let r = begin; r < end; r++) {
    const factor = <i32>load<f32>(x + <usize>r * 4)
    store<i32>(at, bytes ? 0x01010101 : 0x00010001, 512)
    store<i32>(at, (bytes ? 0x01010101 : 0x00010001) * (factor & (bytes ? 0xff : 0xffff)), 516)
    let total: f32 = 0
    for (let done: usize = 0; done < Lanes; done += 4 * registers) {
      memory.fill(at, 0, 16 * registers)
      if (bytes && registers === 20) fours20(at, Count / 4)
      else if (bytes) fours12(at, Count / 4)
      else if (registers === 20) pairs20(at, Count / 2)
      else pairs12(at, Count / 2)
      for (let i: usize = 0; i < 4 * registers; i++) total += <f32>load<i32>(at + 4 * i)
    }
    store<f32>(y + <usize>r * 4, total)
  }
}

function floats12(at: usize, count: u32): void { rounds12(floats, at, count) }
function floats20(at: usize, count: u32): void { rounds20(floats, at, count) }
function fours12(at: usize, count: u32): void { rounds12(fours, at, count) }
function fours20(at: usize, count: u32): void { rounds20(fours, at, count) }
function pairs12(at: usize, count: u32): void { rounds12(pairs, at, count) }
function pairs20(at: usize, count: u32): void { rounds20(pairs, at, count) }

// `kind` is a constant where this and what uses it are inlined.
// @ts-ignore: decorator
@inline
function next(kind: u32, a: v128, w: v128, x: v128): v128 {
  return kind === floats ? madd(a, w, x) : kind === fours ? dot7(a, w, x) : dot16(a, w, x)
}

// @ts-ignore: decorator
@inline
function rounds12(kind: u32, at: usize, count: u32): void {
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  let i = v128.load(at, 128), j = v128.load(at, 144)
  let k = v128.load(at, 160), l = v128.load(at, 176)
  const u = v128.load32_splat(at, 512), v = v128.load32_splat(at, 516)
  while (count) {
    a = next(kind, a, u, v); b = next(kind, b, u, v); c = next(kind, c, u, v); d = next(kind, d, u, v)
    e = next(kind, e, u, v); f = next(kind, f, u, v); g = next(kind, g, u, v); h = next(kind, h, u, v)
    i = next(kind, i, u, v); j = next(kind, j, u, v); k = next(kind, k, u, v); l = next(kind, l, u, v)
    count--
  }
  v128.store(at, a); v128.store(at, b, 16); v128.store(at, c, 32); v128.store(at, d, 48)
  v128.store(at, e, 64); v128.store(at, f, 80); v128.store(at, g, 96); v128.store(at, h, 112)
  v128.store(at, i, 128); v128.store(at, j, 144)
  v128.store(at, k, 160); v128.store(at, l, 176)
}

// @ts-ignore: decorator
@inline
function rounds20(kind: u32, at: usize, count: u32): void {
  let a = v128.load(at), b = v128.load(at, 16), c = v128.load(at, 32), d = v128.load(at, 48)
  let e = v128.load(at, 64), f = v128.load(at, 80), g = v128.load(at, 96), h = v128.load(at, 112)
  let i = v128.load(at, 128), j = v128.load(at, 144)
  let k = v128.load(at, 160), l = v128.load(at, 176)
  let m = v128.load(at, 192), n = v128.load(at, 208)
  let o = v128.load(at, 224), p = v128.load(at, 240)
  let q = v128.load(at, 256), r = v128.load(at, 272)
  let s = v128.load(at, 288), t = v128.load(at, 304)
  const u = v128.load32_splat(at, 512), v = v128.load32_splat(at, 516)
  while (count) {
    a = next(kind, a, u, v); b = next(kind, b, u, v); c = next(kind, c, u, v); d = next(kind, d, u, v)
    e = next(kind, e, u, v); f = next(kind, f, u, v); g = next(kind, g, u, v); h = next(kind, h, u, v)
    i = next(kind, i, u, v); j = next(kind, j, u, v); k = next(kind, k, u, v); l = next(kind, l, u, v)
    m = next(kind, m, u, v); n = next(kind, n, u, v); o = next(kind, o, u, v); p = next(kind, p, u, v)
    q = next(kind, q, u, v); r = next(kind, r, u, v); s = next(kind, s, u, v); t = next(kind, t, u, v)
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
