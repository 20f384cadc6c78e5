// rope.wgsl for a q8 cache (q8_rows.ts): heads of queries go to q, those of keys and values into rows of
// bytes. Parallel plan: a workgroup of 64 lanes a head of a row of qkv, a lane every 64th number of it.
// Bytes: everything once, the numbers that pair with others twice.

// The row at hand goes where head `item` of qkv belongs.
fn keepHead(item: u32, bits: u32, lane: u32) {
  let heads = param.H + 2u * param.G;
  let row = item / heads;
  let head = item % heads;
  let scale = scaleOfRow(bits, lane);
  if (head < param.H) {
    let first = (row * param.H + head) * param.E;
    for (var e = lane; e < param.E; e += 64u) { q[first + e] = rowNow[e]; }
    return;
  }
  let words = param.E / 4u;
  let b = row / param.T;
  let place = u32(position[b]) + row % param.T;
  let at = ((b * param.G + (head - param.H) % param.G) * param.S + place) * (words + 1u);
  for (var e = lane; e <= words; e += 64u) {
    var word = bitcast<u32>(scale);
    if (e < words) { word = wordOfRow(e, scale); }
    if (head < param.H + param.G) { keys[at + e] = word; } else { values[at + e] = word; }
  }
}

// Where the numbers of head `item` stand.
fn placeOf(item: u32) -> u32 {
  let row = item / (param.H + 2u * param.G);
  return u32(position[row / param.T]) + row % param.T;
}

@compute @workgroup_size(64)
fn qkNormRopeQ8(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = rowOf(group);
  let heads = param.H + 2u * param.G;
  if (item >= param.B * param.T * heads) { return; }
  let head = item % heads;
  let first = item * param.E;
  let place = placeOf(item);
  var part = 0.0;
  for (var e = lane; e < param.E; e += 64u) { part += qkv[first + e] * qkv[first + e]; }
  let rstd = 1.0 / sqrt(sumOf64(part, lane) / f32(param.E) + param.eps);
  var bits = 0u;
  for (var e = lane; e < param.E; e += 64u) {
    var x = qkv[first + e];
    if (head < param.H + param.G) { x = rstd * qkvRotated(first, e, place, head >= param.H); }
    bits = placeNumber(e, x, bits);
  }
  keepHead(item, bits, lane);
}

@compute @workgroup_size(64)
fn ropeHeadsQ8(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = rowOf(group);
  let heads = param.H + 2u * param.G;
  if (item >= param.B * param.T * heads) { return; }
  let first = item * param.E;
  let place = placeOf(item);
  var bits = 0u;
  for (var e = lane; e < param.E; e += 64u) {
    var x = qkv[first + e];
    if (item % heads < param.H + param.G) {
      x = dot(angleOf(e, place), vec2f(x, qkv[first + pairOf(e)]));
    }
    bits = placeNumber(e, x, bits);
  }
  keepHead(item, bits, lane);
}

@compute @workgroup_size(64)
fn splitHeadsQ8(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = rowOf(group);
  if (item >= param.B * param.T * (param.H + 2u * param.G)) { return; }
  var bits = 0u;
  for (var e = lane; e < param.E; e += 64u) {
    bits = placeNumber(e, qkv[item * param.E + e], bits);
  }
  keepHead(item, bits, lane);
}
