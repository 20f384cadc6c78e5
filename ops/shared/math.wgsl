// What most kernels share: which row a workgroup has, exp and log in f32 as math.as.ts has them, and
// sums and maxima over the lanes of a workgroup of 256.

// The row of a workgroup: there are at most 65,535 in a dispatch's first dimension.
fn rowOf(group: vec3u) -> u32 {
  return group.x + group.y * 65535u;
}

// Not a constant, so that infinities and NaN may be made of it.
var<private> infinityBits: u32 = 0x7f800000u;

// e^x, relative error below 2e-7: x = n ln 2 + r, e^x = 2^n p(r); 0 below -87.33.
fn expOf(x: f32) -> f32 {
  let a = clamp(x, -87.33, 88.37);
  let n = round(a * 1.4426950408889634);
  let r = fma(n, 2.12194440054690583e-4, fma(n, -0.693359375, a));
  var p = fma(0.001381459878757596, r, 0.008368716575205326);
  p = fma(p, r, 0.04166838899254799);
  p = fma(p, r, 0.1666652113199234);
  p = fma(p, r, 0.4999999403953552);
  p = fma(p, r * r, r) + 1.0;
  if (x != x) { return x; }
  if (x < -87.33) { return 0.0; }
  return bitcast<f32>(bitcast<i32>(p) + (i32(n) << 23u));
}

// ln x, relative error below 2e-7 also near 1; -inf at 0, NaN below, subnormal x counts as 0.
fn logOf(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) < 0x00800000u) { return bitcast<f32>(infinityBits | 0x80000000u); }
  if ((bits & 0x80000000u) != 0u || bits > 0x7f800000u) {
    return bitcast<f32>(infinityBits | 0x400000u);
  }
  if (bits == 0x7f800000u) { return x; }
  let above = bitcast<i32>(bits - 0x3f3504f3u);
  let e = f32(above >> 23u);
  let f = bitcast<f32>((u32(above) & 0x007fffffu) + 0x3f3504f3u) - 1.0;
  var p = fma(0.06746640056371689, f, -0.11675652116537094);
  p = fma(p, f, 0.11888162046670914);
  p = fma(p, f, -0.1240558922290802);
  p = fma(p, f, 0.14219552278518677);
  p = fma(p, f, -0.1666799634695053);
  p = fma(p, f, 0.2000211924314499);
  p = fma(p, f, -0.25000008940696716);
  p = fma(p, f, 0.3333331346511841);
  let square = f * f;
  let small = fma(square, fma(p, f, -0.5), e * -2.12194440054690583e-4);
  return fma(e, 0.693359375, f + small);
}

// erfc x, as math.as.ts has it: t e^(p(t) - z^2) for z = |x|, t = 1/(1 + z/2).
fn erfcOf(x: f32) -> f32 {
  let z = abs(x);
  let t = 1.0 / fma(z, 0.5, 1.0);
  var p = fma(0.1514756612056414, t, -0.7160840993737141);
  p = fma(p, t, 1.238627831895468);
  p = fma(p, t, -0.8035774862746476);
  p = fma(p, t, 0.006876633130747042);
  p = fma(p, t, -0.044047778429565955);
  p = fma(p, t, 0.04963015351153581);
  p = fma(p, t, 0.3835867218245693);
  p = fma(p, t, 0.9989767367966398);
  p = fma(p, t, -1.2654643221344957);
  let y = t * expOf(p - z * z);
  return select(y, 2.0 - y, x < 0.0);
}

fn silu(x: f32) -> f32 {
  return x / (1.0 + expOf(-x));
}

// The upper half of a number's bits: with the rest, a product of two halves is exact in f32.
fn upperHalf(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

// a / b rounded to nearest, which the operator alone need not be: what is left of a is exact, whether or
// not fma rounds once, as it does not have to either.
fn quotient(a: f32, b: f32) -> f32 {
  let q = a / b;
  let upper = upperHalf(q);
  let lower = q - upper;
  let divisor = upperHalf(b);
  let fine = b - divisor;
  return q + (((a - upper * divisor) - upper * fine) - lower * divisor - lower * fine) / b;
}

const lowest = -3.4028234e38;

// Elements i … i + 3 of a row, with `rest` in place of those that are not below its end.
fn below(x: vec4f, i: u32, end: u32, rest: f32) -> vec4f {
  return select(vec4f(rest), x, vec4u(i) + vec4u(0u, 1u, 2u, 3u) < vec4u(end));
}

var<workgroup> lanes: array<f32, 256>;

// The sum over the 256 lanes, given to all; a fixed tree, so the same on every run.
fn groupSum(value: f32, lane: u32) -> f32 {
  lanes[lane] = value;
  workgroupBarrier();
  for (var span = 128u; span > 0u; span >>= 1u) {
    if (lane < span) { lanes[lane] += lanes[lane + span]; }
    workgroupBarrier();
  }
  let total = lanes[0];
  workgroupBarrier();
  return total;
}

fn groupMax(value: f32, lane: u32) -> f32 {
  lanes[lane] = value;
  workgroupBarrier();
  for (var span = 128u; span > 0u; span >>= 1u) {
    if (lane < span) { lanes[lane] = max(lanes[lane], lanes[lane + span]); }
    workgroupBarrier();
  }
  let most = lanes[0];
  workgroupBarrier();
  return most;
}

var<workgroup> eights: array<f32, 8>;

// The sum over a workgroup of 64 lanes, by eights, in all of them.
fn sumOf64(value: f32, lane: u32) -> f32 {
  lanes[lane] = value;
  workgroupBarrier();
  if (lane < 8u) {
    var part = 0.0;
    for (var i = 0u; i < 8u; i++) { part += lanes[8u * lane + i]; }
    eights[lane] = part;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < 8u; i++) { total += eights[i]; }
  return total;
}
