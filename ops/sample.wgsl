// token = argmax(logits), or at a temperature argmax(logits / temperature + Gumbel noise) among the
// logits that top-k, then top-p leave. No sorting: both edges are found bit by bit on the image of the
// floats in u32 that keeps their order, by count for top-k and by mass for top-p. Parallel plan: a
// workgroup a row. Bytes: logits once when greedy; top-k and top-p 32 passes each, from the caches.

// Larger floats have larger images.
fn imageOf(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn warmed(row: u32, v: u32) -> f32 {
  return logits[row * param.V + v] / controls[0];
}

// Σ over the row's numbers with images of at least `least` and above `edge`: of 1, or of their mass.
fn above(row: u32, lane: u32, least: u32, edge: u32, top: f32, byMass: bool) -> f32 {
  var part = 0.0;
  for (var v = lane; v < param.V; v += 256u) {
    let x = warmed(row, v);
    let image = imageOf(x);
    if (image < least || image <= edge) { continue; }
    if (byMass) { part += expOf(x - top); } else { part += 1.0; }
  }
  return groupSum(part, lane);
}

// The smallest image with less than `limit` above it.
fn edgeOf(row: u32, lane: u32, least: u32, limit: f32, top: f32, byMass: bool) -> u32 {
  let all = above(row, lane, least, 0u, top, byMass);
  var edge = 0u;
  for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
    if (above(row, lane, least, edge | bit, top, byMass) >= limit) { edge |= bit; }
  }
  return select(edge + 1u, 0u, all < limit);
}

@compute @workgroup_size(256)
fn sample(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = rowOf(group);
  if (row >= param.B) { return; }
  let greedy = controls[0] == 0.0;
  var least = 0u;
  if (lane == 0u) { asked = vec2f(select(controls[1], 0.0, greedy), select(controls[2], 1.0, greedy)); }
  let wanted = workgroupUniformLoad(&asked);
  if (wanted.x > 0.0) { least = edgeOf(row, lane, 0u, wanted.x, 0.0, false); }
  if (wanted.y < 1.0) {
    var most = lowest;
    for (var v = lane; v < param.V; v += 256u) { most = max(most, warmed(row, v)); }
    let top = groupMax(most, lane);
    let all = above(row, lane, least, 0u, top, true);
    least = max(least, edgeOf(row, lane, least, all * wanted.y, top, true));
  }
  var best = lowest;
  var place = 0xffffffffu;
  for (var v = lane; v < param.V; v += 256u) {
    var value = logits[row * param.V + v];
    if (!greedy) {
      let x = warmed(row, v);
      if (imageOf(x) < least) { continue; }
      value = x - logOf(-logOf(toUnit(threefry(u32(seed[0]), u32(position[row]), v, row).x)));
    }
    if (value > best || place == 0xffffffffu) {
      best = value;
      place = v;
    }
  }
  let found = groupBest(best, place, lane);
  if (lane == 0u) { token[row] = i32(found); }
}

var<workgroup> asked: vec2f;
