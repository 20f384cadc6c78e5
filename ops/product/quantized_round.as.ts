// Rows rounded to whole numbers, 127 steps for the largest of 32 neighbours: what quantized weights
// are multiplied by. 32 of them are a record. For one row (quantized_row.as.ts) records follow one
// another; for tiles of rows (quantized_tile.as.ts) those of a tile lie side by side, word by word.
// However many rows there are, the numbers are the same.
import { isBytes } from "./quantized_block.as"
import { byteOffset, hasByteDot, hasDot } from "./quantized_dot.as"

/** Whether a row's numbers are bytes for the dot of bytes, not of 16 bits. */
// @ts-ignore: decorator
@inline
function rowHasBytes(Z: u32): bool {
  return !isBytes(Z) && hasDot()
}

/** The same of a tile's. */
// @ts-ignore: decorator
@inline
export function tileHasBytes(Z: u32): bool {
  return isBytes(Z) ? hasByteDot() : hasDot()
}

/** What weights are raised by in a tile's dots of bytes. */
// @ts-ignore: decorator
@inline
export function tileOffset(Z: u32): i32 {
  return isBytes(Z) ? byteOffset() : 8
}

/** In memory, not in the code: V8 makes constants anew in every round, and does not pair them. */
const constants = memory.data<u32>([0x7fffffff, 0x4b400000])

// How a record is written; constants where roundBlock is inlined.
/** For a row of q4: bytes, scale, −8 times their sum. */
const rowBytes: u32 = 0
/** For a row of q8: 16 bits each. */
const rowWords: u32 = 1
/** For a row of q4 without a dot of bytes: 16 bits each in the order k, k + 2, k + 1, k + 3. */
const rowSwapped: u32 = 2
/** For a tile: bytes four by four, `step` bytes apart, then the scale. */
const tileBytes: u32 = 3
/** For a tile: 16 bits each two by two. */
const tileWords: u32 = 4

/** Rounds 32 numbers at x into a record; returns their sum. */
// @ts-ignore: decorator
@inline
function roundBlock(x: usize, to: usize, kind: u32, step: usize): i32 {
  const largest = magnitude(x)
  // Nearest whole numbers, ties to even: adding 1.5·2²³ leaves them in the low bits.
  const magic = v128.load32_splat(constants, 4)
  const factor = f32x4.splat(largest < 1e-36 ? 0 : 127 / largest)
  const scale = largest / 127
  const a = eight(x, factor, magic), b = eight(x + 32, factor, magic)
  const c = eight(x + 64, factor, magic), d = eight(x + 96, factor, magic)
  if (kind === rowBytes || kind === tileBytes) {
    const low = i8x16.narrow_i16x8_s(a, b), high = i8x16.narrow_i16x8_s(c, d)
    if (kind === rowBytes) {
      v128.store(to, low); v128.store(to, high, 16)
      store<f32>(to, scale, 32)
    } else {
      to = storeFour(to, low, step)
      to = storeFour(to, high, step)
      store<f32>(to, scale)
    }
  } else if (kind === tileWords) {
    to = storeFour(to, a, step)
    to = storeFour(to, b, step)
    to = storeFour(to, c, step)
    to = storeFour(to, d, step)
    store<f32>(to, scale)
  } else {
    const swap = kind === rowSwapped
    v128.store(to, swap ? swapped(a) : a); v128.store(to, swap ? swapped(b) : b, 16)
    v128.store(to, swap ? swapped(c) : c, 32); v128.store(to, swap ? swapped(d) : d, 48)
    store<f32>(to, scale, 64)
  }
  const pairs = i32x4.extadd_pairwise_i16x8_s(i16x8.add(i16x8.add(a, b), i16x8.add(c, d)))
  const twos = i32x4.add(pairs, v128.shuffle<i32>(pairs, pairs, 2, 3, 0, 1))
  return i32x4.extract_lane(twos, 0) + i32x4.extract_lane(twos, 1)
}

/** The four words of v, `step` bytes apart; where the next one goes. */
// @ts-ignore: decorator
@inline
function storeFour(to: usize, v: v128, step: usize): usize {
  v128.store32_lane(to, v, 0); v128.store32_lane(to + step, v, 1)
  to += 2 * step
  v128.store32_lane(to, v, 2); v128.store32_lane(to + step, v, 3)
  return to + 2 * step
}

// @ts-ignore: decorator
@inline
function swapped(v: v128): v128 {
  return v128.shuffle<i16>(v, v, 0, 2, 1, 3, 4, 6, 5, 7)
}

/** Eight numbers at x times the factor as whole numbers of 16 bits. */
// @ts-ignore: decorator
@inline
function eight(x: usize, factor: v128, magic: v128): v128 {
  const a = f32x4.add(f32x4.mul(v128.load(x), factor), magic)
  const b = f32x4.add(f32x4.mul(v128.load(x, 16), factor), magic)
  return i16x8.narrow_i32x4_s(i32x4.sub(a, magic), i32x4.sub(b, magic))
}

/** The largest magnitude of 32 numbers, found among bits: NaN is above all. */
// @ts-ignore: decorator
@inline
function magnitude(x: usize): f32 {
  const mask = v128.load32_splat(constants)
  const a = larger(v128.load(x), v128.load(x, 16), mask)
  const b = larger(v128.load(x, 32), v128.load(x, 48), mask)
  const c = larger(v128.load(x, 64), v128.load(x, 80), mask)
  const d = larger(v128.load(x, 96), v128.load(x, 112), mask)
  let most = i32x4.max_s(i32x4.max_s(a, b), i32x4.max_s(c, d))
  most = i32x4.max_s(most, v128.shuffle<i32>(most, most, 2, 3, 0, 1))
  return f32x4.extract_lane(i32x4.max_s(most, v128.shuffle<i32>(most, most, 1, 0, 3, 2)), 0)
}

// @ts-ignore: decorator
@inline
function larger(a: v128, b: v128, mask: v128): v128 {
  return i32x4.max_s(v128.and(a, mask), v128.and(b, mask))
}

/** Numbers of a row that are prepared at a time: written long before they are read. */
const piece: u32 = 1024

/** Where `count` numbers of a row are, zeros behind them up to a whole block: at x, or in `room` (4 KiB) if
 *  zeros are needed or they are to be multiplied by rstd and the norm's weights. */
function prepared(x: usize, norm: usize, rstd: f32, count: u32, room: usize): usize {
  const rest = count & 31
  if (!norm && !rest) return x
  const end = x + <usize>count * 4
  let to = room
  if (norm) {
    const scale = f32x4.splat(rstd)
    for (; x + 32 <= end; x += 32, norm += 32, to += 32) {
      const a = f32x4.mul(f32x4.mul(v128.load(x), scale), v128.load(norm))
      const b = f32x4.mul(f32x4.mul(v128.load(x, 16), scale), v128.load(norm, 16))
      v128.store(to, a); v128.store(to, b, 16)
    }
  }
  for (; x < end; x += 4, to += 4) {
    let value = load<f32>(x)
    if (norm) {
      value = value * rstd * load<f32>(norm)
      norm += 4
    }
    store<f32>(to, value)
  }
  if (rest) memory.fill(to, 0, 128 - rest * 4)
  return room
}

/** Rounds a row x (K), times rstd and the norm's weights if there are any, into records at `to` for
 *  roundedProduct. `room`: 4 KiB. */
export function roundRow(
  x: usize, norm: usize, rstd: f32, K: u32, Z: u32, to: usize, room: usize,
): void {
  const bytes = rowHasBytes(Z)
  const size: usize = bytes ? 40 : 72
  for (let k: u32 = 0; k < K; k += piece) {
    const count = min(piece, K - k)
    let from = prepared(x, norm, rstd, count, room)
    for (const end = from + <usize>count * 4; from < end; from += 128, to += size) {
      let sum: i32
      if (bytes) sum = roundBlock(from, to, rowBytes, 0)
      else if (isBytes(Z)) sum = roundBlock(from, to, rowWords, 0)
      else sum = roundBlock(from, to, rowSwapped, 0)
      store<i32>(to + size - 4, -8 * sum)
    }
    x += 4 * piece
    if (norm) norm += 4 * piece
  }
}

/** Bytes of a record of each row of a tile, of either kind. */
export const tileRecordBytes: usize = 68

/** Rounds row r of a tile of `rows`, as roundRow does. A block of the tile: words of each row in turns,
 *  scales, and, for dots of bytes, eight times what each row's sums begin with. `room`: 4 KiB. */
export function roundTileRow(
  x: usize, norm: usize, rstd: f32, K: u32, Z: u32, to: usize, rows: u32, r: u32, room: usize,
): void {
  const bytes = tileHasBytes(Z)
  const offset = -tileOffset(Z)
  const step = <usize>rows * 4
  const size = <usize>rows * tileRecordBytes
  for (let k: u32 = 0; k < K; k += piece) {
    const count = min(piece, K - k)
    let from = prepared(x, norm, rstd, count, room)
    for (const end = from + <usize>count * 4; from < end; from += 128, to += size) {
      if (bytes) {
        const start = i32x4.splat(offset * roundBlock(from, to + 4 * r, tileBytes, step))
        const at = to + 9 * step + 32 * r
        v128.store(at, start); v128.store(at, start, 16)
      } else roundBlock(from, to + 4 * r, tileWords, step)
    }
    x += 4 * piece
    if (norm) norm += 4 * piece
  }
}
