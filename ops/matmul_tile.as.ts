// The register-blocked product behind ops/matmul.as.ts: C (rows, 16) += A (rows, k) · B (k, 16).
// A lies k by k (rows numbers each), B is a panel; C has rows `stride` bytes apart. Per k a tile of
// six rows does 24 multiply-adds for 10 loads. Adjacent pairs of 128-bit operations throughout, all
// accumulators loaded from C and stored back on one path: what V8 needs to fuse the pairs into
// 256-bit operations. Sixteen columns then fill the registers; without that, two passes of eight do.
import { madd } from "./simd.as"

// @ts-ignore: decorator
@inline
const rowBytes: usize = 64

// `rows` 1 … 6 and `wide` are constants where this is inlined: dead branches fall away.
// @ts-ignore: decorator
@inline
function tile(rows: u32, wide: bool, a: usize, b: usize, c: usize, stride: usize, k: u32): void {
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
  while (b < end) {
    const b0 = v128.load(b), b1 = v128.load(b, 16)
    let b2 = b0, b3 = b0
    if (wide) { b2 = v128.load(b, 32); b3 = v128.load(b, 48) }
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

function wide1(a: usize, b: usize, c: usize, s: usize, k: u32): void { tile(1, true, a, b, c, s, k) }
function wide2(a: usize, b: usize, c: usize, s: usize, k: u32): void { tile(2, true, a, b, c, s, k) }
function wide3(a: usize, b: usize, c: usize, s: usize, k: u32): void { tile(3, true, a, b, c, s, k) }
function wide4(a: usize, b: usize, c: usize, s: usize, k: u32): void { tile(4, true, a, b, c, s, k) }
function wide5(a: usize, b: usize, c: usize, s: usize, k: u32): void { tile(5, true, a, b, c, s, k) }
function wide6(a: usize, b: usize, c: usize, s: usize, k: u32): void { tile(6, true, a, b, c, s, k) }
function half4(a: usize, b: usize, c: usize, s: usize, k: u32): void { tile(4, false, a, b, c, s, k) }
function half5(a: usize, b: usize, c: usize, s: usize, k: u32): void { tile(5, false, a, b, c, s, k) }
function half6(a: usize, b: usize, c: usize, s: usize, k: u32): void { tile(6, false, a, b, c, s, k) }

/** C += A·B for a tile of 1 … 6 rows. */
export function tileProduct(
  rows: u32, wide: bool, a: usize, b: usize, c: usize, stride: usize, k: u32,
): void {
  if (rows === 1) return wide1(a, b, c, stride, k)
  if (rows === 2) return wide2(a, b, c, stride, k)
  if (rows === 3) return wide3(a, b, c, stride, k)
  if (wide) {
    if (rows === 4) return wide4(a, b, c, stride, k)
    return rows === 5 ? wide5(a, b, c, stride, k) : wide6(a, b, c, stride, k)
  }
  for (let half: usize = 0; half < 64; half += 32) {
    if (rows === 4) half4(a, b + half, c + half, stride, k)
    else if (rows === 5) half5(a, b + half, c + half, stride, k)
    else half6(a, b + half, c + half, stride, k)
  }
}
