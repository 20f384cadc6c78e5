// Quantized weights (quantized_pack.ts says what blocks hold), there and back. Parallel plan: a
// workgroup a panel; a lane takes two neighbouring outputs of a block, which share its words.
// Bytes: the matrix and the blocks once each.

const perBlock = 32u;

// Row of the matrix that output n of panel p is; N and more where there is none.
fn rowOfOutput(p: u32, n: u32) -> u32 {
  let rows = param.N / param.Halves;
  let row = (p / param.Halves) * 16u + n;
  if (row >= rows) { return param.N; }
  return (p % param.Halves) * rows + row;
}

// Bits of the scale for q8: max |w| / 127, rounded up so that nothing is cut off.
fn scale8(values: array<f32, 32>) -> u32 {
  var v = values;
  var most = 0.0;
  for (var k = 0u; k < perBlock; k++) { most = max(most, abs(v[k])); }
  let scale = quotient(most, 127.0);
  let bits = brainBits(scale);
  return select(bits, bits + 1u, bitcast<f32>(bits << 16u) < scale);
}

// The first of the numbers farthest from 0.
fn farthest(values: array<f32, 32>) -> f32 {
  var v = values;
  var most = v[0];
  for (var k = 1u; k < perBlock; k++) { if (abs(v[k]) > abs(most)) { most = v[k]; } }
  return most;
}

// Bits of the scale for q4; with Search the one of least weighted error among nineteen.
fn scale4(values: array<f32, 32>) -> u32 {
  let most = farthest(values);
  if (most == 0.0) { return 0u; }
  if (param.Search == 0u) { return brainBits(most / -8.0); }
  var v = values;
  var best = 0.0;
  var scale = most / -8.0;
  for (var i = 0; i < 19; i++) {
    let factor = (-8.0 + f32(i - 9) / 10.0) / most;
    var along = 0.0;
    var square = 0.0;
    for (var k = 0u; k < perBlock; k++) {
      // Relative to the largest, so that no square is lost below the smallest number.
      let w = v[k] / most;
      let q = clamp(round(v[k] * factor), -8.0, 7.0);
      along += w * w * w * q;
      square += w * w * q * q;
    }
    if (square > 0.0 && along * along > best * square) {
      best = along * along / square;
      scale = most * along / square;
    }
  }
  return brainBits(scale);
}

fn wholeNumber(value: f32, scale: f32) -> i32 {
  if (scale == 0.0) { return 0; }
  return i32(round(quotient(value, scale)));
}

@compute @workgroup_size(256)
fn quantize(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let p = rowOf(group);
  if (p >= param.P) { return; }
  var spoilt = 0.0;
  for (var item = lane; item < 8u * param.C; item += 256u) {
    let block = (p * param.C + item / 8u) * (param.Z / 4u);
    let pair = item % 8u;
    var scales = 0u;
    var words: array<u32, 16>;
    for (var i = 0u; i < 16u; i++) { words[i] = 0u; }
    for (var half = 0u; half < 2u; half++) {
      let row = rowOfOutput(p, 2u * pair + half);
      var values: array<f32, 32>;
      for (var i = 0u; i < perBlock; i++) {
        let k = (item / 8u) * perBlock + i;
        values[i] = 0.0;
        if (row >= param.N || k >= param.K) { continue; }
        values[i] = x_get(row * param.K + k);
        spoilt += f32((bitcast<u32>(values[i]) & 0x7f800000u) == 0x7f800000u);
      }
      if (isBytes == 1u) {
        let bits = scale8(values);
        scales |= bits << (16u * half);
        for (var i = 0u; i < perBlock; i++) {
          let number = wholeNumber(values[i], bitcast<f32>(bits << 16u));
          words[i / 2u] |= (u32(number) & 255u) << (16u * half + 8u * (i & 1u));
        }
      } else {
        let bits = scale4(values);
        scales |= bits << (16u * half);
        for (var i = 0u; i < perBlock; i++) {
          let number = wholeNumber(values[i], bitcast<f32>(bits << 16u));
          let at = 8u * (i & 3u) + (i & 4u);
          words[2u * (i / 8u) + half] |= u32(clamp(number, -8, 7) + 8) << at;
        }
      }
    }
    if (isBytes == 1u) {
      for (var i = 0u; i < 16u; i++) { w[block + 8u * i + pair] = words[i]; }
    } else {
      for (var i = 0u; i < 8u; i++) {
        w[block + 16u * (i / 2u) + 2u * pair + (i & 1u)] = words[i];
      }
    }
    w[block + 4u * scalesAt + pair] = scales;
  }
  let total = groupSum(spoilt, lane);
  if (lane == 0u) { bad[p] = total; }
}

@compute @workgroup_size(256)
fn dequantize(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let p = rowOf(group);
  if (p >= param.P) { return; }
  for (var i = lane; i < 16u * param.K; i += 256u) {
    let k = i % param.K;
    let n = i / param.K;
    let row = rowOfOutput(p, n);
    if (row >= param.N) { continue; }
    let block = (p * param.C + k / perBlock) * (param.Z / 4u);
    x[row * param.K + k] = quantizedAt(block, k % perBlock, n);
  }
}

// The scale of output n, those of its block from word `at` of w on.
fn scaleOf(at: u32, n: u32) -> f32 {
  if (isWide == 1u) { return bitcast<f32>(w[at + n]); }
  return bitcast<f32>((w[at + n / 2u] >> (16u * (n & 1u))) << 16u);
}

// Number k of output n of the block that begins at word `block` of w.
fn quantizedAt(block: u32, k: u32, n: u32) -> f32 {
  let scale = scaleOf(block + 4u * scalesAt, n);
  if (isBytes == 1u) {
    let word = w[block + 8u * (k / 2u) + n / 2u];
    let shift = 16u * (n & 1u) + 8u * (k & 1u);
    return scale * f32(bitcast<i32>(word << (24u - shift)) >> 24u);
  }
  let word = w[block + 16u * (k / 8u) + n];
  return scale * (f32((word >> (8u * (k & 3u) + (k & 4u))) & 15u) - 8.0);
}
