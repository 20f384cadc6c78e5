// Rows into panels of 16 outputs and back, converted as they pass, and panels drawn at random.
// Parallel plan: a workgroup a panel, four outputs a lane; back, a workgroup 2048 numbers, which a
// lane takes by twos. Bytes: each side once.

// Row of the matrix that output n of panel p is; N where there is none.
fn rowOfOutput(p: u32, n: u32) -> u32 {
  let rows = param.N / param.Halves;
  let row = (p / param.Halves) * 16u + n;
  if (row >= rows) { return param.N; }
  return (p % param.Halves) * rows + row;
}

fn isSpoilt(x: f32) -> bool {
  if (wType == 1u) { return (halfBits(x) & 0x7c00u) == 0x7c00u; }
  if (wType == 2u) { return (brainBits(x) & 0x7f80u) == 0x7f80u; }
  return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
}

@compute @workgroup_size(256)
fn pack(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let p = rowOf(group);
  if (p >= param.P) { return; }
  var spoilt = 0.0;
  for (var i = lane; i < 4u * param.K; i += 256u) {
    let k = i % param.K;
    let quarter = i / param.K;
    var v = vec4f();
    for (var c = 0u; c < 4u; c++) {
      let row = rowOfOutput(p, 4u * quarter + c);
      if (row < param.N) { v[c] = x_get(row * param.K + k); }
      spoilt += f32(isSpoilt(v[c]));
    }
    w_put((p * param.K + k) * 4u + quarter, v);
  }
  let total = groupSum(spoilt, lane);
  if (lane == 0u) { bad[p] = total; }
}

fn unpacked(i: u32) -> f32 {
  let rows = param.N / param.Halves;
  let row = i / param.K;
  let k = i % param.K;
  let p = ((row % rows) / 16u) * param.Halves + row / rows;
  let n = (row % rows) % 16u;
  return w_get((p * param.K + k) * 4u + n / 4u)[n & 3u];
}

@compute @workgroup_size(256)
fn unpack(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let count = param.N * param.K;
  let first = rowOf(group) * 1024u;
  for (var i = first + lane; i < min((count + 1u) / 2u, first + 1024u); i += 256u) {
    x_put(i, vec2f(unpacked(2u * i), unpacked(min(2u * i + 1u, count - 1u))), count);
  }
}

@compute @workgroup_size(256)
fn randomPanels(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let p = rowOf(group);
  if (p >= param.P) { return; }
  for (var i = lane; i < 4u * ((param.K + 1u) / 2u); i += 256u) {
    let quarter = i % 4u;
    let k = 2u * (i / 4u);
    var a = vec4f();
    var b = vec4f();
    for (var c = 0u; c < 4u; c++) {
      let row = rowOfOutput(p, 4u * quarter + c);
      if (row >= param.N) { continue; }
      let pair = param.deviation * normalPair(param.Seed, param.Stream, k / 2u, row);
      a[c] = pair.x;
      b[c] = pair.y;
    }
    w_put((p * param.K + k) * 4u + quarter, a);
    if (k + 1u < param.K) { w_put((p * param.K + k + 1u) * 4u + quarter, b); }
  }
}
