// The register-blocked product of training attention: C (rows, 16) = Z + A·B for up to six rows of
// A (rows, k) and a panel B (k, 16) whose rows are `b step` bytes apart. A is read by rows (`step`
// bytes apart, k by k) or, where it lies transposed, by columns (k `step` bytes apart, row by row).
// Adjacent pairs of 128-bit operations, sums loaded first and stored on one path: V8 fuses such
// pairs into 256-bit operations. Sixteen columns then fill the registers with six rows; without
// that, two passes of eight do.
import { madd } from "../shared/simd.as"

// `rows` 1 … 6, `wide` and `across` are constants where this is inlined: dead branches fall away.
// @ts-ignore: decorator
@inline
function tile(
  rows: u32, wide: bool, across: bool, a: usize, step: usize, b: usize, bStep: usize,
  z: usize, zStride: usize, c: usize, cStride: usize, k: u32,
): void {
  const next = across ? step : 4
  let c00 = v128.load(z), c01 = v128.load(z, 16)
  let c02 = c00, c03 = c00, c10 = c00, c11 = c00, c12 = c00, c13 = c00
  let c20 = c00, c21 = c00, c22 = c00, c23 = c00, c30 = c00, c31 = c00, c32 = c00, c33 = c00
  let c40 = c00, c41 = c00, c42 = c00, c43 = c00, c50 = c00, c51 = c00, c52 = c00, c53 = c00
  if (wide) { c02 = v128.load(z, 32); c03 = v128.load(z, 48) }
  if (rows > 1) { z += zStride; c10 = v128.load(z); c11 = v128.load(z, 16) }
  if (rows > 1 && wide) { c12 = v128.load(z, 32); c13 = v128.load(z, 48) }
  if (rows > 2) { z += zStride; c20 = v128.load(z); c21 = v128.load(z, 16) }
  if (rows > 2 && wide) { c22 = v128.load(z, 32); c23 = v128.load(z, 48) }
  if (rows > 3) { z += zStride; c30 = v128.load(z); c31 = v128.load(z, 16) }
  if (rows > 3 && wide) { c32 = v128.load(z, 32); c33 = v128.load(z, 48) }
  if (rows > 4) { z += zStride; c40 = v128.load(z); c41 = v128.load(z, 16) }
  if (rows > 4 && wide) { c42 = v128.load(z, 32); c43 = v128.load(z, 48) }
  if (rows > 5) { z += zStride; c50 = v128.load(z); c51 = v128.load(z, 16) }
  if (rows > 5 && wide) { c52 = v128.load(z, 32); c53 = v128.load(z, 48) }
  for (const end = b + <usize>k * bStep; b < end; b += bStep, a += next) {
    const b0 = v128.load(b), b1 = v128.load(b, 16)
    let b2 = b0, b3 = b0
    if (wide) { b2 = v128.load(b, 32); b3 = v128.load(b, 48) }
    let p = a
    let s = v128.load32_splat(p)
    c00 = madd(s, b0, c00); c01 = madd(s, b1, c01)
    if (wide) { c02 = madd(s, b2, c02); c03 = madd(s, b3, c03) }
    if (rows > 1) {
      if (!across) p += step
      s = across ? v128.load32_splat(a, 4) : v128.load32_splat(p)
      c10 = madd(s, b0, c10); c11 = madd(s, b1, c11)
    }
    if (rows > 1 && wide) { c12 = madd(s, b2, c12); c13 = madd(s, b3, c13) }
    if (rows > 2) {
      if (!across) p += step
      s = across ? v128.load32_splat(a, 8) : v128.load32_splat(p)
      c20 = madd(s, b0, c20); c21 = madd(s, b1, c21)
    }
    if (rows > 2 && wide) { c22 = madd(s, b2, c22); c23 = madd(s, b3, c23) }
    if (rows > 3) {
      if (!across) p += step
      s = across ? v128.load32_splat(a, 12) : v128.load32_splat(p)
      c30 = madd(s, b0, c30); c31 = madd(s, b1, c31)
    }
    if (rows > 3 && wide) { c32 = madd(s, b2, c32); c33 = madd(s, b3, c33) }
    if (rows > 4) {
      if (!across) p += step
      s = across ? v128.load32_splat(a, 16) : v128.load32_splat(p)
      c40 = madd(s, b0, c40); c41 = madd(s, b1, c41)
    }
    if (rows > 4 && wide) { c42 = madd(s, b2, c42); c43 = madd(s, b3, c43) }
    if (rows > 5) {
      if (!across) p += step
      s = across ? v128.load32_splat(a, 20) : v128.load32_splat(p)
      c50 = madd(s, b0, c50); c51 = madd(s, b1, c51)
    }
    if (rows > 5 && wide) { c52 = madd(s, b2, c52); c53 = madd(s, b3, c53) }
  }
  v128.store(c, c00); v128.store(c, c01, 16)
  if (wide) { v128.store(c, c02, 32); v128.store(c, c03, 48) }
  if (rows > 1) { c += cStride; v128.store(c, c10); v128.store(c, c11, 16) }
  if (rows > 1 && wide) { v128.store(c, c12, 32); v128.store(c, c13, 48) }
  if (rows > 2) { c += cStride; v128.store(c, c20); v128.store(c, c21, 16) }
  if (rows > 2 && wide) { v128.store(c, c22, 32); v128.store(c, c23, 48) }
  if (rows > 3) { c += cStride; v128.store(c, c30); v128.store(c, c31, 16) }
  if (rows > 3 && wide) { v128.store(c, c32, 32); v128.store(c, c33, 48) }
  if (rows > 4) { c += cStride; v128.store(c, c40); v128.store(c, c41, 16) }
  if (rows > 4 && wide) { v128.store(c, c42, 32); v128.store(c, c43, 48) }
  if (rows > 5) { c += cStride; v128.store(c, c50); v128.store(c, c51, 16) }
  if (rows > 5 && wide) { v128.store(c, c52, 32); v128.store(c, c53, 48) }
}

function wideRows1(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(1, true, false, a, s, b, t, z, y, c, x, k)
}
function wideRows2(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(2, true, false, a, s, b, t, z, y, c, x, k)
}
function wideRows3(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(3, true, false, a, s, b, t, z, y, c, x, k)
}
function wideRows4(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(4, true, false, a, s, b, t, z, y, c, x, k)
}
function wideRows5(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(5, true, false, a, s, b, t, z, y, c, x, k)
}
function wideRows6(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(6, true, false, a, s, b, t, z, y, c, x, k)
}
function halfRows3(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(3, false, false, a, s, b, t, z, y, c, x, k)
}
function halfRows4(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(4, false, false, a, s, b, t, z, y, c, x, k)
}
function halfRows5(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(5, false, false, a, s, b, t, z, y, c, x, k)
}
function halfRows6(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(6, false, false, a, s, b, t, z, y, c, x, k)
}
function wideColumns1(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(1, true, true, a, s, b, t, z, y, c, x, k)
}
function wideColumns2(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(2, true, true, a, s, b, t, z, y, c, x, k)
}
function wideColumns3(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(3, true, true, a, s, b, t, z, y, c, x, k)
}
function wideColumns4(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(4, true, true, a, s, b, t, z, y, c, x, k)
}
function wideColumns5(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(5, true, true, a, s, b, t, z, y, c, x, k)
}
function wideColumns6(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(6, true, true, a, s, b, t, z, y, c, x, k)
}
function halfColumns3(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(3, false, true, a, s, b, t, z, y, c, x, k)
}
function halfColumns4(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(4, false, true, a, s, b, t, z, y, c, x, k)
}
function halfColumns5(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(5, false, true, a, s, b, t, z, y, c, x, k)
}
function halfColumns6(
  a: usize, s: usize, b: usize, t: usize, z: usize, y: usize, c: usize, x: usize, k: u32,
): void {
  tile(6, false, true, a, s, b, t, z, y, c, x, k)
}

/** C = Z + A·B, rows of A `s` bytes apart, of B `t`, of Z `y`, of C `x`; C may be Z. */
export function rowsProduct(
  rows: u32, wide: bool, a: usize, s: usize, b: usize, t: usize, z: usize, y: usize,
  c: usize, x: usize, k: u32,
): void {
  if (rows === 1) return wideRows1(a, s, b, t, z, y, c, x, k)
  if (rows === 2) return wideRows2(a, s, b, t, z, y, c, x, k)
  if (wide) {
    if (rows === 6) return wideRows6(a, s, b, t, z, y, c, x, k)
    if (rows === 5) return wideRows5(a, s, b, t, z, y, c, x, k)
    return rows === 4
      ? wideRows4(a, s, b, t, z, y, c, x, k)
      : wideRows3(a, s, b, t, z, y, c, x, k)
  }
  for (let i: usize = 0; i < 64; i += 32) {
    if (rows === 6) halfRows6(a, s, b + i, t, z + i, y, c + i, x, k)
    else if (rows === 5) halfRows5(a, s, b + i, t, z + i, y, c + i, x, k)
    else if (rows === 4) halfRows4(a, s, b + i, t, z + i, y, c + i, x, k)
    else halfRows3(a, s, b + i, t, z + i, y, c + i, x, k)
  }
}

/** C = Z + A·B as above with A transposed: its k rows are `s` bytes apart. */
export function columnsProduct(
  rows: u32, wide: bool, a: usize, s: usize, b: usize, t: usize, z: usize, y: usize,
  c: usize, x: usize, k: u32,
): void {
  if (rows === 1) return wideColumns1(a, s, b, t, z, y, c, x, k)
  if (rows === 2) return wideColumns2(a, s, b, t, z, y, c, x, k)
  if (wide) {
    if (rows === 6) return wideColumns6(a, s, b, t, z, y, c, x, k)
    if (rows === 5) return wideColumns5(a, s, b, t, z, y, c, x, k)
    return rows === 4
      ? wideColumns4(a, s, b, t, z, y, c, x, k)
      : wideColumns3(a, s, b, t, z, y, c, x, k)
  }
  for (let i: usize = 0; i < 64; i += 32) {
    if (rows === 6) halfColumns6(a, s, b + i, t, z + i, y, c + i, x, k)
    else if (rows === 5) halfColumns5(a, s, b + i, t, z + i, y, c + i, x, k)
    else if (rows === 4) halfColumns4(a, s, b + i, t, z + i, y, c + i, x, k)
    else halfColumns3(a, s, b + i, t, z + i, y, c + i, x, k)
  }
}
