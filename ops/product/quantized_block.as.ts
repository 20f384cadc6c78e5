// A block of quantized weights, 32 numbers by 16 outputs (quantized_pack.ts), widened to f32.

/** Bytes of a block of 32 numbers by 16 outputs, as blockBytes and fileBlockBytes in quantized_pack.ts. */
// @ts-ignore: decorator
@inline
export const q8Bytes: u32 = 544
// @ts-ignore: decorator
@inline
export const q4Bytes: u32 = 288
/** The same with scales in f32. */
// @ts-ignore: decorator
@inline
export const wideQ8Bytes: u32 = 576
// @ts-ignore: decorator
@inline
export const wideQ4Bytes: u32 = 320

/** Whether numbers are bytes, not halves of them. */
// @ts-ignore: decorator
@inline
export function isBytes(Z: u32): bool {
  return Z === q8Bytes || Z === wideQ8Bytes
}

/** Whether scales are f32, not bf16. */
// @ts-ignore: decorator
@inline
export function isWide(Z: u32): bool {
  return Z === wideQ8Bytes || Z === wideQ4Bytes
}

/** Bytes of a block before its scales. */
// @ts-ignore: decorator
@inline
export function numberBytes(Z: u32): usize {
  return isBytes(Z) ? 512 : 256
}

/** In memory, not in the code: V8 makes constants anew in every round, and does not pair them. */
const constants = memory.data<u32>([0x0f, 8, 1, 0x10000])

/** One block into f32 at `to`, (32, 16). */
export function expandBlock(w: usize, Z: u32, to: usize): void {
  if (isBytes(Z)) expand8(w, isWide(Z), to)
  else expand4(w, isWide(Z), to)
}

/** Scales of four outputs in f32, from their bits. */
// @ts-ignore: decorator
@inline
export function scalesOf(bits: v128): v128 {
  return i32x4.shl(bits, 16)
}

/** Scales of the i-th four outputs in f32, those of a block at `at`. */
// @ts-ignore: decorator
@inline
function fourScales(at: usize, i: usize, wide: bool): v128 {
  return wide ? v128.load(at + 16 * i) : scalesOf(v128.load16x4_u(at + 8 * i))
}

/** The upper halves of bytes of q4. */
// @ts-ignore: decorator
@inline
export function upper(u: v128, mask: v128): v128 {
  return v128.and(i32x4.shr_u(u, 4), mask)
}

// Lanes of 32 bits hold the numbers k and k + 1 of one output; products with 1, 0 and 0, 1 part
// them, all even k first. Each extending load is used once, and so stays in order of address: V8
// pairs them right only if the lower one comes first.
function expand8(w: usize, wide: bool, to: usize): void {
  const s = fourScales(w + 512, 0, wide), t = fourScales(w + 512, 1, wide)
  const u = fourScales(w + 512, 2, wide), v = fourScales(w + 512, 3, wide)
  const end = w + 512
  for (let odd: usize = 0; odd < 8; odd += 4) {
    const which = v128.load32_splat(constants + odd, 8)
    let out = to + 16 * odd
    for (let at = w; at < end; at += 32, out += 128) {
      v128.store(out, one(v128.load8x8_s(at), which, s))
      v128.store(out, one(v128.load8x8_s(at, 8), which, t), 16)
      v128.store(out, one(v128.load8x8_s(at, 16), which, u), 32)
      v128.store(out, one(v128.load8x8_s(at, 24), which, v), 48)
    }
  }
}

// @ts-ignore: decorator
@inline
function one(pair: v128, which: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.dot_i16x8_s(pair, which)), scale)
}

// Lanes of 32 bits hold eight numbers of one output: k, k + 4, k + 1, k + 5 … from the lowest bits.
function expand4(w: usize, wide: bool, to: usize): void {
  const s = fourScales(w + 256, 0, wide), t = fourScales(w + 256, 1, wide)
  const u = fourScales(w + 256, 2, wide), v = fourScales(w + 256, 3, wide)
  const mask = v128.load32_splat(constants), eight = v128.load32_splat(constants, 4)
  for (const end = w + 256; w < end; w += 64, to += 512) {
    let a = v128.load(w), b = v128.load(w, 16), c = v128.load(w, 32), d = v128.load(w, 48)
    for (let i: usize = 0; i < 256; i += 64) {
      const at = to + i
      v128.store(at, nibble(a, s, mask, eight)); v128.store(at, nibble(b, t, mask, eight), 16)
      v128.store(at, nibble(c, u, mask, eight), 32); v128.store(at, nibble(d, v, mask, eight), 48)
      a = i32x4.shr_u(a, 4); b = i32x4.shr_u(b, 4); c = i32x4.shr_u(c, 4); d = i32x4.shr_u(d, 4)
      v128.store(at, nibble(a, s, mask, eight), 256)
      v128.store(at, nibble(b, t, mask, eight), 272)
      v128.store(at, nibble(c, u, mask, eight), 288)
      v128.store(at, nibble(d, v, mask, eight), 304)
      a = i32x4.shr_u(a, 4); b = i32x4.shr_u(b, 4); c = i32x4.shr_u(c, 4); d = i32x4.shr_u(d, 4)
    }
  }
}

// @ts-ignore: decorator
@inline
function nibble(u: v128, scale: v128, mask: v128, eight: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(v128.and(u, mask), eight)), scale)
}
