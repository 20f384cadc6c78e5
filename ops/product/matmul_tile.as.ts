// The register-blocked product that matmul.as.ts calls: C (rows, 16) += A (rows, k) · B (k, 16).
// A lies k by k (rows numbers each), B is a panel of f32, f16 or bf16; C has rows `stride` bytes
// apart. Per k a tile of six rows does 24 multiply-adds for 10 loads. Adjacent pairs of 128-bit
// operations throughout, all sums loaded from C and stored back on one path, offsets as immediates:
// what V8 needs to fuse the pairs into 256-bit operations. Sixteen columns then fill the registers
// with six rows, or with five where f16's mask takes one; without that, two passes of eight do.
import { madd } from "../shared/simd.as"

/** In memory, not in the code: V8 makes constants anew in every round, and does not pair them. */
const signAndMagnitude = memory.data<u32>([0x8fffe000])

/** Four weights as f32, from their load with sign extension; f16 times 2^-112. */
// @ts-ignore: decorator
@inline
function f32Of(u: v128, wType: u32, mask: v128): v128 {
  if (wType === 0) return u
  if (wType === 2) return i32x4.shl(u, 16)
  return v128.and(i32x4.shl(u, 13), mask)
}

// `rows` 1 … 6 and `wide` are constants where this is inlined: dead branches fall away.
// @ts-ignore: decorator
@inline
function tile(
  rows: u32, wide: bool, wType: u32, a: usize, b: usize, c: usize, stride: usize, k: u32,
): void {
  const rowBytes: usize = wType ? 32 : 64
  const end = b + <usize>k * rowBytes
  const step = <usize>rows * 4
  const r1 = c + stride, r2 = r1 + stride, r3 = r2 + stride, r4 = r3 + stride, r5 = r4 + stride
  let c00 = v128.load(c), c01 = v128.load(c, 16)
  let c02 = c00, c03 = c00, c10 = c00, c11 = c00, c12 = c00, c13 = c00
  let c20 = c00, c21 = c00, c22 = c00, c23 = c00, c30 = c00, c31 = c00, c32 = c00, c33 = c00
  let c40 = c00, c41 = c00, c42 = c00, c43 = c00, c50 = c00, c51 = c00, c52 = c00, c53 = c00
  if (wide) { c02 = v128.load(c, 32); c03 = v128.load(c, 48) }
  if (rows > 1) { c10 = v128.load(r1); c11 = v128.load(r1, 16) }
  if (rows > 1 && wide) { c12 = v128.load(r1, 32); c13 = v128.load(r1, 48) }
  if (rows > 2) { c20 = v128.load(r2); c21 = v128.load(r2, 16) }
  if (rows > 2 && wide) { c22 = v128.load(r2, 32); c23 = v128.load(r2, 48) }
  if (rows > 3) { c30 = v128.load(r3); c31 = v128.load(r3, 16) }
  if (rows > 3 && wide) { c32 = v128.load(r3, 32); c33 = v128.load(r3, 48) }
  if (rows > 4) { c40 = v128.load(r4); c41 = v128.load(r4, 16) }
  if (rows > 4 && wide) { c42 = v128.load(r4, 32); c43 = v128.load(r4, 48) }
  if (rows > 5) { c50 = v128.load(r5); c51 = v128.load(r5, 16) }
  if (rows > 5 && wide) { c52 = v128.load(r5, 32); c53 = v128.load(r5, 48) }
  const mask = wType === 1 ? v128.load32_splat(signAndMagnitude) : c00
  while (b < end) {
    const b0 = f32Of(wType ? v128.load16x4_s(b) : v128.load(b), wType, mask)
    const b1 = f32Of(wType ? v128.load16x4_s(b, 8) : v128.load(b, 16), wType, mask)
    let b2 = b0, b3 = b0
    if (wide) {
      b2 = f32Of(wType ? v128.load16x4_s(b, 16) : v128.load(b, 32), wType, mask)
      b3 = f32Of(wType ? v128.load16x4_s(b, 24) : v128.load(b, 48), wType, mask)
    }
    let s = v128.load32_splat(a)
    c00 = madd(s, b0, c00); c01 = madd(s, b1, c01)
    if (wide) { c02 = madd(s, b2, c02); c03 = madd(s, b3, c03) }
    if (rows > 1) { s = v128.load32_splat(a, 4); c10 = madd(s, b0, c10); c11 = madd(s, b1, c11) }
    if (rows > 1 && wide) { c12 = madd(s, b2, c12); c13 = madd(s, b3, c13) }
    if (rows > 2) { s = v128.load32_splat(a, 8); c20 = madd(s, b0, c20); c21 = madd(s, b1, c21) }
    if (rows > 2 && wide) { c22 = madd(s, b2, c22); c23 = madd(s, b3, c23) }
    if (rows > 3) { s = v128.load32_splat(a, 12); c30 = madd(s, b0, c30); c31 = madd(s, b1, c31) }
    if (rows > 3 && wide) { c32 = madd(s, b2, c32); c33 = madd(s, b3, c33) }
    if (rows > 4) { s = v128.load32_splat(a, 16); c40 = madd(s, b0, c40); c41 = madd(s, b1, c41) }
    if (rows > 4 && wide) { c42 = madd(s, b2, c42); c43 = madd(s, b3, c43) }
    if (rows > 5) { s = v128.load32_splat(a, 20); c50 = madd(s, b0, c50); c51 = madd(s, b1, c51) }
    if (rows > 5 && wide) { c52 = madd(s, b2, c52); c53 = madd(s, b3, c53) }
    a += step
    b += rowBytes
  }
  v128.store(c, c00); v128.store(c, c01, 16)
  if (wide) { v128.store(c, c02, 32); v128.store(c, c03, 48) }
  if (rows > 1) { v128.store(r1, c10); v128.store(r1, c11, 16) }
  if (rows > 1 && wide) { v128.store(r1, c12, 32); v128.store(r1, c13, 48) }
  if (rows > 2) { v128.store(r2, c20); v128.store(r2, c21, 16) }
  if (rows > 2 && wide) { v128.store(r2, c22, 32); v128.store(r2, c23, 48) }
  if (rows > 3) { v128.store(r3, c30); v128.store(r3, c31, 16) }
  if (rows > 3 && wide) { v128.store(r3, c32, 32); v128.store(r3, c33, 48) }
  if (rows > 4) { v128.store(r4, c40); v128.store(r4, c41, 16) }
  if (rows > 4 && wide) { v128.store(r4, c42, 32); v128.store(r4, c43, 48) }
  if (rows > 5) { v128.store(r5, c50); v128.store(r5, c51, 16) }
  if (rows > 5 && wide) { v128.store(r5, c52, 32); v128.store(r5, c53, 48) }
}

function wide1F32(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(1, true, 0, a, b, c, s, k)
}
function wide2F32(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(2, true, 0, a, b, c, s, k)
}
function wide3F32(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(3, true, 0, a, b, c, s, k)
}
function wide4F32(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(4, true, 0, a, b, c, s, k)
}
function wide5F32(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(5, true, 0, a, b, c, s, k)
}
function wide6F32(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(6, true, 0, a, b, c, s, k)
}
function half3F32(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(3, false, 0, a, b, c, s, k)
}
function half4F32(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(4, false, 0, a, b, c, s, k)
}
function half5F32(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(5, false, 0, a, b, c, s, k)
}
function half6F32(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(6, false, 0, a, b, c, s, k)
}

function wide1F16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(1, true, 1, a, b, c, s, k)
}
function wide2F16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(2, true, 1, a, b, c, s, k)
}
function wide3F16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(3, true, 1, a, b, c, s, k)
}
function wide4F16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(4, true, 1, a, b, c, s, k)
}
function wide5F16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(5, true, 1, a, b, c, s, k)
}
function half3F16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(3, false, 1, a, b, c, s, k)
}
function half4F16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(4, false, 1, a, b, c, s, k)
}
function half5F16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(5, false, 1, a, b, c, s, k)
}

function wide1Bf16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(1, true, 2, a, b, c, s, k)
}
function wide2Bf16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(2, true, 2, a, b, c, s, k)
}
function wide3Bf16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(3, true, 2, a, b, c, s, k)
}
function wide4Bf16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(4, true, 2, a, b, c, s, k)
}
function wide5Bf16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(5, true, 2, a, b, c, s, k)
}
function wide6Bf16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(6, true, 2, a, b, c, s, k)
}
function half3Bf16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(3, false, 2, a, b, c, s, k)
}
function half4Bf16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(4, false, 2, a, b, c, s, k)
}
function half5Bf16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(5, false, 2, a, b, c, s, k)
}
function half6Bf16(a: usize, b: usize, c: usize, s: usize, k: u32): void {
  tile(6, false, 2, a, b, c, s, k)
}

function productF32(rows: u32, wide: bool, a: usize, b: usize, c: usize, s: usize, k: u32): void {
  if (rows === 1) return wide1F32(a, b, c, s, k)
  if (rows === 2) return wide2F32(a, b, c, s, k)
  if (wide) {
    if (rows === 3) return wide3F32(a, b, c, s, k)
    if (rows === 4) return wide4F32(a, b, c, s, k)
    return rows === 5 ? wide5F32(a, b, c, s, k) : wide6F32(a, b, c, s, k)
  }
  const half: usize = 32
  for (let i: usize = 0; i < 2; i++) {
    if (rows === 3) half3F32(a, b + i * half, c + i * 32, s, k)
    else if (rows === 4) half4F32(a, b + i * half, c + i * 32, s, k)
    else if (rows === 5) half5F32(a, b + i * half, c + i * 32, s, k)
    else half6F32(a, b + i * half, c + i * 32, s, k)
  }
}

function productF16(rows: u32, wide: bool, a: usize, b: usize, c: usize, s: usize, k: u32): void {
  if (rows === 1) return wide1F16(a, b, c, s, k)
  if (rows === 2) return wide2F16(a, b, c, s, k)
  if (wide) {
    if (rows === 3) return wide3F16(a, b, c, s, k)
    if (rows === 4) return wide4F16(a, b, c, s, k)
    return wide5F16(a, b, c, s, k)
  }
  const half: usize = 16
  for (let i: usize = 0; i < 2; i++) {
    if (rows === 3) half3F16(a, b + i * half, c + i * 32, s, k)
    else if (rows === 4) half4F16(a, b + i * half, c + i * 32, s, k)
    else half5F16(a, b + i * half, c + i * 32, s, k)
  }
}

function productBf16(rows: u32, wide: bool, a: usize, b: usize, c: usize, s: usize, k: u32): void {
  if (rows === 1) return wide1Bf16(a, b, c, s, k)
  if (rows === 2) return wide2Bf16(a, b, c, s, k)
  if (wide) {
    if (rows === 3) return wide3Bf16(a, b, c, s, k)
    if (rows === 4) return wide4Bf16(a, b, c, s, k)
    return rows === 5 ? wide5Bf16(a, b, c, s, k) : wide6Bf16(a, b, c, s, k)
  }
  const half: usize = 16
  for (let i: usize = 0; i < 2; i++) {
    if (rows === 3) half3Bf16(a, b + i * half, c + i * 32, s, k)
    else if (rows === 4) half4Bf16(a, b + i * half, c + i * 32, s, k)
    else if (rows === 5) half5Bf16(a, b + i * half, c + i * 32, s, k)
    else half6Bf16(a, b + i * half, c + i * 32, s, k)
  }
}

/** C += A·B for a tile of 1 … 6 rows, 1 … 5 with f16, whose weights count as w·2^-112. */
export function tileProduct(
  rows: u32, wide: bool, wType: u32, a: usize, b: usize, c: usize, stride: usize, k: u32,
): void {
  if (wType === 0) productF32(rows, wide, a, b, c, stride, k)
  else if (wType === 1) productF16(rows, wide, a, b, c, stride, k)
  else productBf16(rows, wide, a, b, c, stride, k)
}
