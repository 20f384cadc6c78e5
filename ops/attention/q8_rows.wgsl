// Rows of E numbers as a q8 cache keeps them: E/4 words of four signed bytes, then a scale; and back.
// Parallel plan: a workgroup of 64 lanes a row. Bytes: each row read and written once.

// The row at hand, and the bits of the farthest number that each lane has seen of it.
var<workgroup> rowNow: array<f32, 1024>;
var<workgroup> farthest: array<u32, 64>;

// Places a number of the row at hand; bits of the farther one of it and those before.
fn placeNumber(e: u32, x: f32, bits: u32) -> u32 {
  rowNow[e] = x;
  return max(bits, bitcast<u32>(x) & 0x7fffffffu);
}

// The scale of the row at hand, once all lanes have placed their numbers.
fn scaleOfRow(bits: u32, lane: u32) -> f32 {
  farthest[lane] = bits;
  workgroupBarrier();
  var most = 0u;
  for (var i = 0u; i < 64u; i++) { most = max(most, farthest[i]); }
  return q8Scale(most);
}

// The scale of numbers up to that of these bits; what is not finite stays as it is.
fn q8Scale(bits: u32) -> f32 {
  let most = bitcast<f32>(bits);
  if (bits >= 0x7f800000u) { return most; }
  let scale = quotient(most, 127.0);
  return select(scale, 0.0, scale < 0x1p-126f);
}

// Four numbers as bytes.
fn q8Word(four: vec4f, scale: f32) -> u32 {
  var word = 0u;
  if (scale == 0.0) { return word; }
  for (var i = 0u; i < 4u; i++) {
    word |= (u32(i32(round(quotient(four[i], scale)))) & 255u) << (8u * i);
  }
  return word;
}

// Word e of the row at hand, E/4 of them.
fn wordOfRow(e: u32, scale: f32) -> u32 {
  let i = 4u * e;
  return q8Word(vec4f(rowNow[i], rowNow[i + 1u], rowNow[i + 2u], rowNow[i + 3u]), scale);
}

// The four numbers of a word.
fn q8Four(word: u32, scale: f32) -> vec4f {
  let bytes = vec4i(bitcast<i32>(word)) << vec4u(24u, 16u, 8u, 0u);
  return vec4f(bytes >> vec4u(24u)) * scale;
}

@compute @workgroup_size(64)
fn writeRowsQ8(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = rowOf(group);
  if (i >= param.B * param.G * param.T) { return; }
  var bits = 0u;
  for (var e = lane; e < param.E; e += 64u) {
    bits = placeNumber(e, rows[i * param.E + e], bits);
  }
  let scale = scaleOfRow(bits, lane);
  let g = i / param.T;
  let words = param.E / 4u;
  let at = (g * param.S + u32(position[g / param.G]) + i % param.T) * (words + 1u);
  for (var e = lane; e < words; e += 64u) { cache[at + e] = wordOfRow(e, scale); }
  if (lane == 0u) { cache[at + words] = bitcast<u32>(scale); }
}

@compute @workgroup_size(64)
fn readRowsQ8(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = rowOf(group);
  if (i >= param.B * param.G * param.S) { return; }
  let words = param.E / 4u;
  let at = i * (words + 1u);
  let scale = bitcast<f32>(cache[at + words]);
  for (var e = lane; e < words; e += 64u) {
    let four = q8Four(cache[at + e], scale);
    for (var j = 0u; j < 4u; j++) { y[i * param.E + 4u * e + j] = four[j]; }
  }
}
