// Numbers of 16 bits, rounded to nearest even as engine/dtype.ts rounds them. The words hold two
// each, the first in the lower half.

fn packHalves(v: vec2f) -> u32 {
  return halfBits(v.x) | (halfBits(v.y) << 16u);
}

fn packBrains(v: vec2f) -> u32 {
  return brainBits(v.x) | (brainBits(v.y) << 16u);
}

// Bits of the IEEE half nearest to x; overflow gives infinity.
fn halfBits(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return sign | 0x7e00u; }
  if (size >= 0x477ff000u) { return sign | 0x7c00u; }
  if (size < 0x38800000u) {
    // Below the normal numbers: units of 2^-24, rounded by the adder of f32.
    return sign | (bitcast<u32>(bitcast<f32>(size) + 0.5) - 0x3f000000u);
  }
  return sign | ((size + 0xfffu + ((size >> 13u) & 1u) - 0x38000000u) >> 13u);
}

fn brainBits(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

fn eightHalves(v: vec4u) -> mat2x4f {
  return mat2x4f(
    vec4f(unpack2x16float(v.x), unpack2x16float(v.y)),
    vec4f(unpack2x16float(v.z), unpack2x16float(v.w)),
  );
}

fn eightBrains(v: vec4u) -> mat2x4f {
  let even = bitcast<vec4f>(v << vec4u(16u));
  let odd = bitcast<vec4f>(v & vec4u(0xffff0000u));
  return mat2x4f(vec4f(even.x, odd.x, even.y, odd.y), vec4f(even.z, odd.z, even.w, odd.w));
}
