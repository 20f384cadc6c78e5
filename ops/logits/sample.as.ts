// token = argmax(logits), or at a temperature argmax((logits − top)/temperature + Gumbel noise)
// among the logits that top-k, then top-p leave. No sorting: both thresholds are found by radix
// selection on the image of the floats in u32 that keeps their order, digit by digit (11, 11, 10
// bits), by count for top-k and by mass for top-p.
// Parallel plan: one row per work item. Bytes: logits once when greedy; sampling adds a pass, top-k
// and top-p three each, from the L2 cache. Random numbers, the dear part, are drawn only for logits
// that could still win, and logarithms taken only of those numbers that leave it open. A row with
// NaN, or whose largest is infinite, has no token: −1.
import { scratch } from "../../backends/wasm/thread.as"
import { expVector, logVector } from "../shared/math.as"
import { schedule, threefry } from "../plain/random.as"
import { bestLane, rowArgmax, rowMax } from "../plain/reduce.as"

const binsBytes: usize = 2048 * 8

/** Larger floats have larger images; −0 comes just below 0, NaN at the ends. */
// @ts-ignore: decorator
@inline
function imageOf(x: v128): v128 {
  return v128.xor(x, v128.or(i32x4.shr_s(x, 31), i32x4.splat(0x80000000)))
}

// @ts-ignore: decorator
@inline
function floatOf(image: u32): f32 {
  return reinterpret<f32>(image & 0x80000000 ? image ^ 0x80000000 : ~image)
}

/** Four numbers at p, or the `left` that remain and NaN, which no comparison keeps. */
// @ts-ignore: decorator
@inline
function loadRest(p: usize, left: u32): v128 {
  if (left >= 4) return v128.load(p)
  let x = f32x4.replace_lane(f32x4.splat(NaN), 0, load<f32>(p))
  if (left > 1) x = f32x4.replace_lane(x, 1, load<f32>(p, 4))
  return left > 2 ? f32x4.replace_lane(x, 2, load<f32>(p, 8)) : x
}

/** Adds a lane's weight to the bin of its digit. */
// @ts-ignore: decorator
@inline
function tally(bins: usize, digit: i32, weight: f32): void {
  const bin = bins + ((<usize>digit) << 3)
  store<f64>(bin, load<f64>(bin) + weight)
}

/** Weights of the row's numbers x ≥ least whose image agrees with `prefix` in the bits `known`,
 *  into a bin for each digit of the image: 1, or exp((x − top)/temperature). */
// @ts-ignore: decorator
@inline
function fillBins(
  bins: usize, x: usize, V: u32, known: u32, prefix: u32, shift: u32, digits: u32,
  least: f32, top: f32, temperature: f32, byMass: bool,
): void {
  memory.fill(bins, 0, binsBytes)
  let weight = f32x4.splat(1)
  for (let k: u32 = 0; k < V; k += 4) {
    const value = loadRest(x + ((<usize>k) << 2), V - k)
    const image = imageOf(value)
    const agrees = i32x4.eq(v128.and(image, i32x4.splat(known)), i32x4.splat(prefix))
    const wanted = i32x4.bitmask(v128.and(agrees, f32x4.ge(value, f32x4.splat(least))))
    if (!wanted) continue
    if (byMass) {
      const below = f32x4.sub(value, f32x4.splat(top))
      weight = expVector(f32x4.div(below, f32x4.splat(temperature)))
    }
    const digit = v128.and(i32x4.shr_u(image, shift), i32x4.splat(digits))
    if (wanted & 1) tally(bins, i32x4.extract_lane(digit, 0), f32x4.extract_lane(weight, 0))
    if (wanted & 2) tally(bins, i32x4.extract_lane(digit, 1), f32x4.extract_lane(weight, 1))
    if (wanted & 4) tally(bins, i32x4.extract_lane(digit, 2), f32x4.extract_lane(weight, 2))
    if (wanted & 8) tally(bins, i32x4.extract_lane(digit, 3), f32x4.extract_lane(weight, 3))
  }
}

/** The lowest number of the row above which there are fewer than `limit` numbers, or, by mass, less
 *  than the share `limit` of the mass of all x ≥ least. The largest number always qualifies. */
// @ts-ignore: decorator
@inline
function selectEdge(
  x: usize, V: u32, limit: f64, least: f32, top: f32, temperature: f32, byMass: bool,
): f32 {
  const bins = scratch()
  let above: f64 = 0
  let prefix: u32 = 0
  let known: u32 = 0
  let shift: u32 = 21
  while (true) {
    const digits: u32 = shift ? 2047 : 1023
    fillBins(bins, x, V, known, prefix, shift, digits, least, top, temperature, byMass)
    if (byMass && !known) {
      let total: f64 = 0
      for (let i: usize = 0; i < binsBytes; i += 8) total += load<f64>(bins + i)
      limit *= total
    }
    let sum = above
    let chosen: u32 = 0
    for (let digit = <i32>digits; digit >= 0; digit--) {
      const weight = load<f64>(bins + ((<usize>digit) << 3))
      if (weight === 0) continue
      if (sum >= limit && sum > 0) break
      chosen = digit
      above = sum
      sum += weight
    }
    prefix |= chosen << shift
    if (!shift) return floatOf(prefix)
    known |= digits << shift
    shift = shift === 21 ? 10 : 0
  }
  return 0
}

/** The k-th largest of the row. */
function thresholdByCount(x: usize, V: u32, k: f32): f32 {
  return selectEdge(x, V, k, -Infinity, 0, 1, false)
}

/** The lowest that top-p keeps among x ≥ least. */
function thresholdByMass(
  x: usize, V: u32, share: f32, least: f32, top: f32, temperature: f32,
): f32 {
  return selectEdge(x, V, share, least, top, temperature, true)
}

/** Number in (0, 1) of a random word, as engine/random.ts has it. */
// @ts-ignore: decorator
@inline
function toUnit(word: v128): v128 {
  const middle = f32x4.add(f32x4.convert_i32x4_u(i32x4.shr_u(word, 9)), f32x4.splat(0.5))
  return f32x4.mul(middle, f32x4.splat(1.1920928955078125e-7))
}

/** Bounds of −ln(−ln u) over u = 2^-24 … 1 − 2^-24: a logit that the largest noise would not lift
 *  over the best so far, or over the least that the top logit will have, needs no random number. */
const leastNoise: f32 = -2.9
const mostNoise: f32 = 16.7

/** In memory, not in the code: V8 makes constants anew in every round. */
const bounds = memory.data<f32>([1, 0.6931473, 0.01])

/** More than the noise of numbers u in (0, 1), without a logarithm: −ln u ≥ 1 − u ≥ 2^exponent. */
// @ts-ignore: decorator
@inline
function noiseBound(unit: v128): v128 {
  const exponent = i32x4.shr_u(f32x4.sub(v128.load32_splat(bounds), unit), 23)
  const doublings = f32x4.convert_i32x4_s(i32x4.sub(i32x4.splat(127), exponent))
  return f32x4.add(f32x4.mul(doublings, v128.load32_splat(bounds, 4)), v128.load32_splat(bounds, 8))
}

/** argmax((x − top)/temperature + Gumbel noise) over x ≥ least; random words of key (seed, stream)
 *  and counter (k, 0). */
function draw(
  x: usize, V: u32, least: f32, top: f32, temperature: f32, seed: u32, stream: u32,
): u32 {
  const words = scratch()
  const edge = f32x4.splat(least)
  let best = f32x4.splat(leastNoise)
  let index = i32x4.splat(0)
  schedule(seed, stream, words)
  for (let k: u32 = 0; k < V; k += 4) {
    const value = loadRest(x + ((<usize>k) << 2), V - k)
    const warm = f32x4.div(f32x4.sub(value, f32x4.splat(top)), f32x4.splat(temperature))
    const able = f32x4.gt(f32x4.add(warm, f32x4.splat(mostNoise)), best)
    const kept = v128.and(f32x4.ge(value, edge), able)
    if (!v128.any_true(kept)) continue
    const here = i32x4.add(i32x4.splat(k), i32x4(0, 1, 2, 3))
    threefry(here, i32x4.splat(0), words)
    const unit = toUnit(v128.load(words))
    if (!v128.any_true(v128.and(kept, f32x4.gt(f32x4.add(warm, noiseBound(unit)), best)))) continue
    const noise = logVector(f32x4.neg(logVector(unit)))
    const total = f32x4.sub(warm, noise)
    const better = v128.and(kept, f32x4.gt(total, best))
    best = v128.bitselect(total, best, better)
    index = v128.bitselect(here, index, better)
  }
  return bestLane(best, index)
}

/** Whether all V numbers of a row are numbers. Cheaper than a maximum that keeps NaN. */
function isWithoutNaN(x: usize, V: u32): bool {
  const end = x + ((<usize>V) << 2)
  let a = i32x4.splat(-1)
  let b = a
  for (; x + 32 <= end; x += 32) {
    const four = v128.load(x)
    const more = v128.load(x, 16)
    a = v128.and(a, f32x4.eq(four, four))
    b = v128.and(b, f32x4.eq(more, more))
  }
  let all = i32x4.all_true(v128.and(a, b))
  for (; x < end; x += 4) all = all && load<f32>(x) == load<f32>(x)
  return all
}

export function sample(
  logits: usize, controls: usize, seed: usize, position: usize, token: usize,
  B: u32, V: u32, begin: u32, end: u32,
): void {
  for (let b = begin; b < end; b++) {
    const at = (<usize>b) << 2
    const temperature = load<f32>(controls + 3 * at)
    const topK = load<f32>(controls + 3 * at, 4)
    const topP = load<f32>(controls + 3 * at, 8)
    const x = logits + <usize>V * at
    if (temperature === 0) {
      const id = rowArgmax(x, V)
      const found = abs(load<f32>(x + ((<usize>id) << 2))) < Infinity && isWithoutNaN(x, V)
      store<i32>(token + at, found ? <i32>id : -1)
      continue
    }
    const top = rowMax(x, V)
    if (!(abs(top) < Infinity)) {
      store<i32>(token + at, -1)
      continue
    }
    let least: f32 = -Infinity
    if (topK > 0 && topK < <f32>V) least = thresholdByCount(x, V, topK)
    if (topP < 1) least = thresholdByMass(x, V, topP, least, top, temperature)
    const stream = load<u32>(position + at)
    store<u32>(token + at, draw(x, V, least, top, temperature, load<u32>(seed + at), stream))
  }
}
