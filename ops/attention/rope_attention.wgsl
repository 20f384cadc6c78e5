// One position of each sequence: head norms, RoPE, the cache write and attention over slices of the
// cache; and the slices together. Parallel plan: a workgroup a slice of a key head, for up to four
// of its query heads at a time. It normalizes and turns its own queries; the slice that will hold
// the new key and value writes them to the cache, and takes them from workgroup memory itself, so
// that no workgroup reads what another one writes. Of 32 keys, 8 lanes share each for the scores;
// then 64 lanes a query head share the values. Bytes: the cache once for four query heads.

// Four numbers of a key of qkv, normalized and turned to `place`.
fn turnedKey(first: u32, e: u32, place: u32) -> vec4f {
  var squares = 0.0;
  for (var i = 0u; i < width; i++) { squares += dot(qkv[first + i], qkv[first + i]); }
  let rstd = 1.0 / sqrt(squares / f32(param.E) + param.eps);
  let paired = qkv[first + pairFour(e)] * kNorm[pairFour(e)];
  return turnFour(qkv[first + e] * kNorm[e], paired, e, place, 1.0) * rstd;
}

// As a cache keeps it: in f16 at most ±65504, and rounded.
fn kept(x: vec4f) -> vec4f {
  if (keysType != 1u) { return x; }
  let near = clamp(x, vec4f(-65504.0), vec4f(65504.0));
  return vec4f(unpack2x16float(packHalves(near.xy)), unpack2x16float(packHalves(near.zw)));
}

// The new key and value of key head g, to workgroup memory and to the cache.
fn writeNew(b: u32, g: u32, place: u32, lane: u32) {
  let row = b * (param.H + 2u * param.G) + param.H + g;
  if (lane < width) {
    newKey[lane] = turnedKey(row * width, lane, place);
    newValue[lane] = qkv[(row + param.G) * width + lane];
  }
  keepNew((b * param.G + g) * param.S + place, lane);
}

// Both as a cache keeps them, to its row.
fn keepNew(row: u32, lane: u32) {
  if (lane >= width) { return; }
  newKey[lane] = kept(newKey[lane]);
  newValue[lane] = kept(newValue[lane]);
  keys_put(row * width + lane, newKey[lane]);
  values_put(row * width + lane, newValue[lane]);
}

// A slice of a key head.
fn attendSlice(item: u32, lane: u32) {
  let r = item % param.R;
  let g = item / param.R;
  if (lane == 0u) { lastPosition = min(u32(position[g / param.G]), param.S - 1u); }
  let last = workgroupUniformLoad(&lastPosition);
  if (r * runKeys > last) {
    leaveEmpty(g, r, lane);
    return;
  }
  if (last / runKeys % param.R == r) { writeNew(g / param.G, g % param.G, last, lane); }
  let each = param.H / param.G;
  for (var h = 0u; h < each; h += 4u) {
    loadQueries(g, h, last, lane);
    workgroupBarrier();
    let top = mixRuns(g * param.S, r, param.R, last, lane);
    writePart(g, h, r, top, lane);
    workgroupBarrier();
  }
}

@compute @workgroup_size(256)
fn ropeAttentionParts(
  @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32,
) {
  if (rowOf(group) < param.Groups) { attendSlice(rowOf(group), lane); }
}

// Queries of heads h … h + 3 of key head g of all; zeros for those that there are not.
fn loadQueries(g: u32, h: u32, place: u32, lane: u32) {
  let each = param.H / param.G;
  let head = g / param.G * (param.H + 2u * param.G) + g % param.G * each + h;
  let e = lane % width;
  let known = lane < 4u * width && h + lane / width < each;
  var x = vec4f();
  var paired = vec4f();
  if (known) {
    x = qkv[head * width + lane];
    paired = qkv[head * width + lane - e + pairFour(e)] * qNorm[pairFour(e)];
  }
  let squares = headSums(vec2f(dot(x, x), 0.0), lane).x;
  let rstd = 1.0 / sqrt(squares / f32(param.E) + param.eps);
  if (lane < 4u * width) { queries[lane] = turnFour(x * qNorm[e], paired, e, place, 1.0) * rstd; }
}

// Part r of heads h … h + 3 of key head g of all.
fn writePart(g: u32, h: u32, r: u32, top: f32, lane: u32) {
  let each = param.H / param.G;
  let begin = ((g * each + h) * param.R + r) * (param.E + 2u);
  let count = min(each - h, 4u);
  for (var i = lane; i < count * param.E; i += 256u) {
    let at = begin + i / param.E * param.R * (param.E + 2u);
    parts[at + i % param.E] = accOf(i / param.E, i % param.E);
  }
  if (lane % 64u != 0u || lane / 64u >= count) { return; }
  let at = begin + lane / 64u * param.R * (param.E + 2u) + param.E;
  parts[at] = top;
  parts[at + 1u] = massOf(lane / 64u);
}

// A slice without a position: zeros for all heads of key head g of all.
fn leaveEmpty(g: u32, r: u32, lane: u32) {
  let each = param.H / param.G;
  for (var i = lane; i < each * (param.E + 2u); i += 256u) {
    let head = g * each + i / (param.E + 2u);
    parts[(head * param.R + r) * (param.E + 2u) + i % (param.E + 2u)] = 0.0;
  }
}

// Of each slice its maximum and its sum; then what its part is multiplied by, and that times its sum.
var<workgroup> edges: array<vec2f, mostSlices>;

@compute @workgroup_size(64)
fn mergeParts(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = rowOf(group);
  let begin = head * param.R * (param.E + 2u);
  var edge = vec2f();
  if (lane < param.R) {
    let at = begin + lane * (param.E + 2u) + param.E;
    edge = vec2f(parts[at], parts[at + 1u]);
    edges[lane] = edge;
  }
  workgroupBarrier();
  var top = lowest;
  for (var r = 0u; r < param.R; r++) {
    top = max(top, select(lowest, edges[r].x, edges[r].y != 0.0));
  }
  workgroupBarrier();
  if (lane < param.R) {
    let factor = select(exp(edge.x - top), 0.0, edge.y == 0.0);
    edges[lane] = vec2f(factor, factor * edge.y);
  }
  workgroupBarrier();
  for (var e = lane; e < param.E; e += 64u) {
    var total = 0.0;
    var acc = 0.0;
    for (var r = 0u; r < param.R; r++) {
      total += edges[r].y;
      acc += edges[r].x * parts[begin + r * (param.E + 2u) + e];
    }
    if (head < param.Groups) { y[head * param.E + e] = acc / total; }
  }
}
