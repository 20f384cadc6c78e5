// What training attention keeps of queries, forward and backward: panels of 16 queries of one head,
// transposed, so that a query has a lane of its own, and the keys that each of them sees. Copies
// whose rows are rounded up to 16 numbers serve head sizes that are no multiple of 16.

/** Queries of a panel. */
export const lanes: u32 = 16

/** 64 bytes of zeros, that sums start from. */
export const zeros = memory.data(64, 16)

/** Bytes of a row of E numbers rounded up to 16. */
// @ts-ignore: decorator
@inline
export function paddedBytes(E: u32): usize { return (<usize>E * 4 + 63) & ~63 }

/** Position of item i of n: from the front and from the back in turn. */
// @ts-ignore: decorator
@inline
export function fromBothEnds(i: u32, n: u32): u32 { return i & 1 ? n - 1 - (i >> 1) : i >> 1 }

/** Rows of tile i of the three that a panel is worked in: 6, 5, 5. */
// @ts-ignore: decorator
@inline
export function tileRows(i: u32): u32 { return i ? 5 : 6 }

/** out (E, 16) = factor · the transposed rows of x, `stride` bytes apart; the last of `count` rows
 *  stands for those that are missing. */
export function packPanel(
  x: usize, stride: usize, count: u32, E: u32, factor: f32, out: usize,
): void {
  const scale = f32x4.splat(factor)
  for (let lane: u32 = 0; lane < lanes; lane += 4, out += 16) {
    let a = x + <usize>min(lane, count - 1) * stride
    let b = x + <usize>min(lane + 1, count - 1) * stride
    let c = x + <usize>min(lane + 2, count - 1) * stride
    let d = x + <usize>min(lane + 3, count - 1) * stride
    let to = out
    let e: u32 = 0
    for (; e + 4 <= E; e += 4, a += 16, b += 16, c += 16, d += 16, to += 256) {
      const x0 = f32x4.mul(v128.load(a), scale), x1 = f32x4.mul(v128.load(b), scale)
      const x2 = f32x4.mul(v128.load(c), scale), x3 = f32x4.mul(v128.load(d), scale)
      const y0 = v128.shuffle<f32>(x0, x1, 0, 4, 1, 5), y1 = v128.shuffle<f32>(x0, x1, 2, 6, 3, 7)
      const y2 = v128.shuffle<f32>(x2, x3, 0, 4, 1, 5), y3 = v128.shuffle<f32>(x2, x3, 2, 6, 3, 7)
      v128.store(to, v128.shuffle<f32>(y0, y2, 0, 1, 4, 5))
      v128.store(to, v128.shuffle<f32>(y0, y2, 2, 3, 6, 7), 64)
      v128.store(to, v128.shuffle<f32>(y1, y3, 0, 1, 4, 5), 128)
      v128.store(to, v128.shuffle<f32>(y1, y3, 2, 3, 6, 7), 192)
    }
    for (; e < E; e++, a += 4, b += 4, c += 4, d += 4, to += 64) {
      const y = f32x4(load<f32>(a), load<f32>(b), load<f32>(c), load<f32>(d))
      v128.store(to, f32x4.mul(y, scale))
    }
  }
}

/** to = factor·x for E numbers. */
export function scaleInto(x: usize, E: u32, factor: f32, to: usize): void {
  const scale = f32x4.splat(factor)
  const end = x + <usize>E * 4
  for (; x + 32 <= end; x += 32, to += 32) {
    const x0 = f32x4.mul(v128.load(x), scale), x1 = f32x4.mul(v128.load(x, 16), scale)
    v128.store(to, x0)
    v128.store(to, x1, 16)
  }
  for (; x < end; x += 4, to += 4) store<f32>(to, load<f32>(x) * factor)
}

/** Copies rows of E numbers, `stride` bytes apart, to rows of E rounded up to 16, times factor;
 *  the rest is zeros. Returns `to`. */
export function padRows(
  x: usize, stride: usize, rows: u32, E: u32, factor: f32, to: usize,
): usize {
  const bytes = <usize>E * 4
  const padded = paddedBytes(E)
  for (let r: u32 = 0, row = to; r < rows; r++, x += stride, row += padded) {
    scaleInto(x, E, factor, row)
    for (let e = bytes; e < padded; e += 4) store<f32>(row + e, 0)
  }
  return to
}

/** Writes the first and last key of `count` positions from t on, and their bounds; missing lanes
 *  are the last position once more. A position sees itself whatever `starts` says. */
export function placeKeys(starts: usize, t: u32, count: u32, firsts: usize, bounds: usize): void {
  let least: i32 = i32.MAX_VALUE
  let most: i32 = 0
  for (let lane: u32 = 0; lane < lanes; lane++) {
    const at = t + min(lane, count - 1)
    const first = min(load<i32>(starts + (<usize>at << 2)), <i32>at)
    store<i32>(firsts + (<usize>lane << 2), first)
    store<i32>(firsts + (<usize>lane << 2), at, 64)
    least = min(least, first)
    most = max(most, first)
  }
  store<i32>(bounds, max(least, 0))
  store<i32>(bounds, most, 4)
  store<i32>(bounds, t, 8)
  store<i32>(bounds, t + count - 1, 12)
}

/** Lanes of a score that its query does not see. */
// @ts-ignore: decorator
@inline
export function hiddenLanes(key: v128, firsts: usize): v128 {
  return v128.or(
    i32x4.gt_s(key, v128.load(firsts, 64)),
    i32x4.lt_s(key, v128.load(firsts)),
  )
}
