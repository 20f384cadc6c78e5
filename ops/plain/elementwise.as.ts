// Plain ops on each element alone. Parallel plan: 1024 elements per work item, so that four lanes
// and the last few numbers fall on the same elements however the items are shared out. Bytes: each
// input read and the output written once. NaN and infinities are as IEEE has them; exp and log as
// in math.
import { erfcVector, expVector, logVector } from "../shared/math.as"

const chunk: u32 = 1024

// @ts-ignore: decorator
@inline
function limit(N: u32, end: u32): usize {
  return (<usize>min<u64>(N, <u64>end * chunk)) << 2
}

// @ts-ignore: decorator
@inline
function oneWhere(mask: v128): v128 {
  return v128.and(mask, f32x4.splat(1))
}

// @ts-ignore: decorator
@inline
function lessLanes(a: v128, b: v128): v128 {
  return oneWhere(f32x4.lt(a, b))
}

// @ts-ignore: decorator
@inline
function equalLanes(a: v128, b: v128): v128 {
  return oneWhere(f32x4.eq(a, b))
}

// @ts-ignore: decorator
@inline
function rsqrtLanes(x: v128): v128 {
  return f32x4.div(f32x4.splat(1), f32x4.sqrt(x))
}

// @ts-ignore: decorator
@inline
function affineLanes(x: v128, scale: f32, shift: f32): v128 {
  return f32x4.add(f32x4.mul(x, f32x4.splat(scale)), f32x4.splat(shift))
}

// @ts-ignore: decorator
@inline
function selectLanes(c: v128, a: v128, b: v128): v128 {
  return v128.bitselect(b, a, f32x4.eq(c, f32x4.splat(0)))
}

export function add(a: usize, b: usize, y: usize, N: u32, begin: u32, end: u32): void {
  const last = limit(N, end)
  let i = (<usize>begin * chunk) << 2
  for (; i + 16 <= last; i += 16) {
    v128.store(y + i, f32x4.add(v128.load(a + i), v128.load(b + i)))
  }
  for (; i < last; i += 4) {
    v128.store32_lane(y + i, f32x4.add(v128.load32_zero(a + i), v128.load32_zero(b + i)), 0)
  }
}

export function sub(a: usize, b: usize, y: usize, N: u32, begin: u32, end: u32): void {
  const last = limit(N, end)
  let i = (<usize>begin * chunk) << 2
  for (; i + 16 <= last; i += 16) {
    v128.store(y + i, f32x4.sub(v128.load(a + i), v128.load(b + i)))
  }
  for (; i < last; i += 4) {
    v128.store32_lane(y + i, f32x4.sub(v128.load32_zero(a + i), v128.load32_zero(b + i)), 0)
  }
}

export function mul(a: usize, b: usize, y: usize, N: u32, begin: u32, end: u32): void {
  const last = limit(N, end)
  let i = (<usize>begin * chunk) << 2
  for (; i + 16 <= last; i += 16) {
    v128.store(y + i, f32x4.mul(v128.load(a + i), v128.load(b + i)))
  }
  for (; i < last; i += 4) {
    v128.store32_lane(y + i, f32x4.mul(v128.load32_zero(a + i), v128.load32_zero(b + i)), 0)
  }
}

export function div(a: usize, b: usize, y: usize, N: u32, begin: u32, end: u32): void {
  const last = limit(N, end)
  let i = (<usize>begin * chunk) << 2
  for (; i + 16 <= last; i += 16) {
    v128.store(y + i, f32x4.div(v128.load(a + i), v128.load(b + i)))
  }
  for (; i < last; i += 4) {
    v128.store32_lane(y + i, f32x4.div(v128.load32_zero(a + i), v128.load32_zero(b + i)), 0)
  }
}

export function less(a: usize, b: usize, y: usize, N: u32, begin: u32, end: u32): void {
  const last = limit(N, end)
  let i = (<usize>begin * chunk) << 2
  for (; i + 16 <= last; i += 16) {
    v128.store(y + i, lessLanes(v128.load(a + i), v128.load(b + i)))
  }
  for (; i < last; i += 4) {
    v128.store32_lane(y + i, lessLanes(v128.load32_zero(a + i), v128.load32_zero(b + i)), 0)
  }
}

export function equal(a: usize, b: usize, y: usize, N: u32, begin: u32, end: u32): void {
  const last = limit(N, end)
  let i = (<usize>begin * chunk) << 2
  for (; i + 16 <= last; i += 16) {
    v128.store(y + i, equalLanes(v128.load(a + i), v128.load(b + i)))
  }
  for (; i < last; i += 4) {
    v128.store32_lane(y + i, equalLanes(v128.load32_zero(a + i), v128.load32_zero(b + i)), 0)
  }
}

export function exp(x: usize, y: usize, N: u32, begin: u32, end: u32): void {
  const last = limit(N, end)
  let i = (<usize>begin * chunk) << 2
  for (; i + 16 <= last; i += 16) v128.store(y + i, expVector(v128.load(x + i)))
  for (; i < last; i += 4) v128.store32_lane(y + i, expVector(v128.load32_zero(x + i)), 0)
}

export function log(x: usize, y: usize, N: u32, begin: u32, end: u32): void {
  const last = limit(N, end)
  let i = (<usize>begin * chunk) << 2
  for (; i + 16 <= last; i += 16) v128.store(y + i, logVector(v128.load(x + i)))
  for (; i < last; i += 4) v128.store32_lane(y + i, logVector(v128.load32_zero(x + i)), 0)
}

export function erfc(x: usize, y: usize, N: u32, begin: u32, end: u32): void {
  const last = limit(N, end)
  let i = (<usize>begin * chunk) << 2
  for (; i + 16 <= last; i += 16) v128.store(y + i, erfcVector(v128.load(x + i)))
  for (; i < last; i += 4) v128.store32_lane(y + i, erfcVector(v128.load32_zero(x + i)), 0)
}

export function rsqrt(x: usize, y: usize, N: u32, begin: u32, end: u32): void {
  const last = limit(N, end)
  let i = (<usize>begin * chunk) << 2
  for (; i + 16 <= last; i += 16) v128.store(y + i, rsqrtLanes(v128.load(x + i)))
  for (; i < last; i += 4) v128.store32_lane(y + i, rsqrtLanes(v128.load32_zero(x + i)), 0)
}

export function affine(
  x: usize, y: usize, N: u32, scale: f32, shift: f32, begin: u32, end: u32,
): void {
  const last = limit(N, end)
  let i = (<usize>begin * chunk) << 2
  for (; i + 16 <= last; i += 16) {
    v128.store(y + i, affineLanes(v128.load(x + i), scale, shift))
  }
  for (; i < last; i += 4) {
    v128.store32_lane(y + i, affineLanes(v128.load32_zero(x + i), scale, shift), 0)
  }
}

export function select(
  c: usize, a: usize, b: usize, y: usize, N: u32, begin: u32, end: u32,
): void {
  const last = limit(N, end)
  let i = (<usize>begin * chunk) << 2
  for (; i + 16 <= last; i += 16) {
    v128.store(y + i, selectLanes(v128.load(c + i), v128.load(a + i), v128.load(b + i)))
  }
  for (; i < last; i += 4) {
    const chosen = load<f32>(c + i) === 0 ? b + i : a + i
    store<u32>(y + i, load<u32>(chosen))
  }
}
