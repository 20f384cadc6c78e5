// Threefry-2x32-20, the bits of engine/random.ts, and from it uniform and normal numbers. Parallel
// plan: a workgroup a row. Bytes: the output, written once.
//   u = (word >> 9 + 1/2) 2^-23,   z = sqrt(-2 ln u1) (cos, sin)(2 pi u2)  (Box-Muller)
// The angle is reduced to a quarter turn around 0 in integers.

fn turn(y: u32, r: u32, x: u32) -> u32 {
  return ((y << r) | (y >> (32u - r))) ^ x;
}

fn fourRounds(v: vec2u, r: vec4u) -> vec2u {
  var x = v.x + v.y;
  var y = turn(v.y, r.x, x);
  x += y;
  y = turn(y, r.y, x);
  x += y;
  y = turn(y, r.z, x);
  x += y;
  return vec2u(x, turn(y, r.w, x));
}

// Two words for key (k0, k1) and counter (c0, c1).
fn threefry(k0: u32, k1: u32, c0: u32, c1: u32) -> vec2u {
  let k2 = k0 ^ k1 ^ 0x1bd11bdau;
  let even = vec4u(13u, 15u, 26u, 6u);
  let odd = vec4u(17u, 29u, 16u, 24u);
  var v = fourRounds(vec2u(c0 + k0, c1 + k1), even) + vec2u(k1, k2 + 1u);
  v = fourRounds(v, odd) + vec2u(k2, k0 + 2u);
  v = fourRounds(v, even) + vec2u(k0, k1 + 3u);
  v = fourRounds(v, odd) + vec2u(k1, k2 + 4u);
  return fourRounds(v, even) + vec2u(k2, k0 + 5u);
}

// A word as a number in the open interval (0, 1), exact.
fn toUnit(word: u32) -> f32 {
  return (f32(word >> 9u) + 0.5) * 1.1920928955078125e-7;
}

// Columns 2i and 2i + 1 of row n of standard normal numbers.
fn normalPair(seed: u32, stream: u32, i: u32, n: u32) -> vec2f {
  let words = threefry(seed, stream, i, n);
  let radius = sqrt(-2.0 * logOf(toUnit(words.x)));
  let turns = words.y >> 9u;
  let quarter = (turns + 0x100000u) >> 21u;
  let x = (f32(i32(turns - (quarter << 21u))) + 0.5) * 7.490140565847157e-7;
  let z = x * x;
  let s = fma(fma(fma(z, -1.9515295891e-4, 8.3321608736e-3), z, -1.6666654611e-1) * z, x, x);
  let c = fma(fma(fma(z, 2.443315711809948e-5, -1.388731625493765e-3), z,
    4.166664568298827e-2) * z, z, fma(z, -0.5, 1.0));
  var pair = vec2f(c, s);
  if ((quarter & 1u) != 0u) { pair = vec2f(-s, c); }
  if ((quarter & 2u) != 0u) { pair = -pair; }
  return radius * pair;
}

@compute @workgroup_size(256)
fn randomUniform(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }
  for (var k = lane; k < param.K; k += 256u) {
    u[n * param.K + k] = toUnit(threefry(u32(seed[n]), u32(stream[n]), k, 0u).x);
  }
}

@compute @workgroup_size(256)
fn randomNormal(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }
  for (var k = 2u * lane; k < param.K; k += 512u) {
    let pair = param.deviation * normalPair(param.Seed, param.Stream, k / 2u, n);
    z[n * param.K + k] = pair.x;
    if (k + 1u < param.K) { z[n * param.K + k + 1u] = pair.y; }
  }
}
