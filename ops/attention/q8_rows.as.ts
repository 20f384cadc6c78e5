// Rows of E numbers as a q8 cache keeps them, E signed bytes and a scale in f32, and back. Parallel plan:
// a row per work item. Bytes: each row read and written once.

const leastScale: f32 = 1.17549435e-38

/** E numbers, a multiple of 4, as a row of a q8 cache. */
export function quantizeRow(x: usize, y: usize, E: u32): void {
  let farthest = f32x4.splat(0)
  for (let p = x, end = x + (<usize>E << 2); p < end; p += 16) {
    farthest = f32x4.max(farthest, f32x4.abs(v128.load(p)))
  }
  const most = max<f32>(
    max<f32>(f32x4.extract_lane(farthest, 0), f32x4.extract_lane(farthest, 1)),
    max<f32>(f32x4.extract_lane(farthest, 2), f32x4.extract_lane(farthest, 3)),
  )
  const scale = most / 127
  if (scale < leastScale) return memory.fill(y, 0, <usize>E + 4)
  store<f32>(y + E, scale)
  const by = f32x4.splat(scale)
  for (const end = y + E; y < end; x += 16, y += 4) {
    const whole = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(x), by)))
    const words = i16x8.narrow_i32x4_s(whole, whole)
    v128.store32_lane(y, i8x16.narrow_i16x8_s(words, words), 0)
  }
}

/** The numbers of a row of a q8 cache. */
export function dequantizeRow(x: usize, y: usize, E: u32): void {
  const scale = v128.load32_splat(x + E)
  const end = x + E
  for (; x + 16 <= end; x += 16, y += 64) {
    const a = v128.load8x8_s(x), b = v128.load8x8_s(x, 8)
    const a0 = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(a))
    const a1 = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(a))
    const b0 = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(b))
    const b1 = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(b))
    v128.store(y, f32x4.mul(a0, scale))
    v128.store(y, f32x4.mul(a1, scale), 16)
    v128.store(y, f32x4.mul(b0, scale), 32)
    v128.store(y, f32x4.mul(b1, scale), 48)
  }
  for (; x < end; x += 4, y += 16) {
    const words = i16x8.extend_low_i8x16_s(v128.load32_zero(x))
    v128.store(y, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(words)), scale))
  }
}

/** The caller sees to it that position + T stays within S. */
export function writeRowsQ8(
  cache: usize, rows: usize, position: usize,
  B: u32, G: u32, S: u32, E: u32, T: u32, begin: u32, end: u32,
): void {
  for (let i = begin; i < end; i++) {
    const g = i / T
    const at = load<u32>(position + ((<usize>g / G) << 2)) + i % T
    const row = cache + (<usize>g * S + at) * (<usize>E + 4)
    quantizeRow(rows + ((<usize>i * E) << 2), row, E)
  }
}

export function readRowsQ8(
  cache: usize, y: usize, B: u32, G: u32, S: u32, E: u32, begin: u32, end: u32,
): void {
  for (let i = <usize>begin; i < end; i++) {
    dequantizeRow(cache + i * (<usize>E + 4), y + ((i * E) << 2), E)
  }
}
