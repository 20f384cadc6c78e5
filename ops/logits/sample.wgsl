// token = argmax(logits), or at a temperature argmax(logits / temperature + Gumbel noise) among the
// logits that top-k, then top-p leave. No sorting: both edges are found digit by digit on the image
// of the floats in u32 that keeps their order, by count for top-k and by mass for top-p: a pass sums
// what has each of 16 digits after those known. A row with NaN, or whose largest is infinite, has no
// token: −1. Parallel plan: a workgroup a row, a lane every 256th four. Bytes: logits once when greedy,
// twice otherwise; top-k and top-p 8 passes each, from the caches.

// Larger floats have larger images.
fn imageOf(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

// Not above 0, so that nothing overflows at the smallest temperatures.
fn warmed(row: u32, i: u32, top: f32) -> vec4f {
  return (logits_four(row * param.V + i) - top) / controls[3u * row];
}

// What a lane has found for each of 16 digits.
var<private> bins: array<vec4f, 4>;

fn addToBin(digit: u32, value: f32) {
  for (var i = 0u; i < 4u; i++) {
    bins[i] += select(vec4f(), vec4f(value), vec4u(4u * i) + vec4u(0u, 1u, 2u, 3u) == vec4u(digit));
  }
}

// Puts the row's numbers with images of at least `least`, whose digits above `shift` are those of
// `edge`, into bins by the digit there: 1 for each, or its mass.
fn fillBins(row: u32, lane: u32, least: u32, edge: u32, shift: u32, top: f32, byMass: bool) {
  bins = array<vec4f, 4>();
  for (var i = 4u * lane; i < param.V; i += 1024u) {
    let x = warmed(row, i, top);
    for (var c = 0u; c < 4u; c++) {
      let image = imageOf(x[c]);
      let known = shift == 28u || (image ^ edge) >> (shift + 4u) == 0u;
      if (!known || image < least || i + c >= param.V) { continue; }
      addToBin((image >> shift) & 15u, select(1.0, expOf(x[c]), byMass));
    }
  }
}

var<workgroup> binParts: array<vec4f, 256>;

// The sums of all lanes' bins, bin i in binParts[i / 4 * 64][i % 4].
fn groupBins(lane: u32) {
  var mine = vec4f();
  for (var i = 0u; i < 4u; i++) {
    binParts[lane] = bins[i];
    workgroupBarrier();
    if (lane / 64u == i) {
      let l = lane % 64u;
      mine = binParts[l] + binParts[l + 64u] + binParts[l + 128u] + binParts[l + 192u];
    }
    workgroupBarrier();
  }
  binParts[lane] = mine;
  workgroupBarrier();
  for (var span = 32u; span > 0u; span >>= 1u) {
    if (lane % 64u < span) { binParts[lane] += binParts[lane + span]; }
    workgroupBarrier();
  }
}

fn binOf(digit: u32) -> f32 {
  return binParts[digit / 4u * 64u][digit % 4u];
}

// The smallest image with less than `limit` above it, of numbers with images of at least `least`;
// by mass, with less than that share of all of it.
fn edgeOf(row: u32, lane: u32, least: u32, limit: f32, top: f32, byMass: bool) -> u32 {
  var edge = 0u;
  var above = 0.0;
  var most = limit;
  for (var digits = 8u; digits > 0u; digits--) {
    let shift = 4u * (digits - 1u);
    fillBins(row, lane, least, edge, shift, top, byMass);
    groupBins(lane);
    if (digits == 8u && byMass) {
      let all = binParts[0] + binParts[64] + binParts[128] + binParts[192];
      most *= dot(all, vec4f(1.0));
    }
    // Down from the highest digit while what is there leaves less than the limit above the next.
    var digit = 15u;
    for (; digit > 0u; digit--) {
      let more = above + binOf(digit);
      if (more >= most) { break; }
      above = more;
    }
    edge |= digit << shift;
    workgroupBarrier();
  }
  return edge;
}

var<workgroup> asked: vec2f;
var<workgroup> largest: u32;

const infinity = 0x7f800000u;

// The place of the row's largest number; all ones where one is NaN or the largest is infinite.
fn placeOfTop(row: u32, lane: u32) -> u32 {
  var best = lowest;
  var place = 0xffffffffu;
  var magnitude = 0u;
  for (var i = 4u * lane; i < param.V; i += 1024u) {
    let x = logits_four(row * param.V + i);
    for (var c = 0u; c < 4u; c++) {
      if (i + c >= param.V) { continue; }
      magnitude = max(magnitude, bitcast<u32>(x[c]) & 0x7fffffffu);
      if (x[c] > best || place == 0xffffffffu) {
        best = x[c];
        place = i + c;
      }
    }
  }
  let found = groupBest(best, place, lane);
  let broken = groupMax(select(0.0, 1.0, magnitude > infinity), lane) > 0.0;
  if (lane == 0u) {
    let top = bitcast<u32>(logitAt(row, found)) & 0x7fffffffu;
    largest = select(found, 0xffffffffu, broken || top >= infinity);
  }
  return workgroupUniformLoad(&largest);
}

fn logitAt(row: u32, v: u32) -> f32 {
  return logits_four(row * param.V + v / 4u * 4u)[v % 4u];
}

@compute @workgroup_size(256)
fn sample(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = rowOf(group);
  if (row >= param.B) { return; }
  let first = placeOfTop(row, lane);
  if (lane == 0u) {
    token[row] = i32(first);
    let way = vec3f(controls[3u * row], controls[3u * row + 1u], controls[3u * row + 2u]);
    asked = select(way.yz, vec2f(0.0, -1.0), way.x == 0.0);
  }
  let wanted = workgroupUniformLoad(&asked);
  if (wanted.y < 0.0 || first == 0xffffffffu) { return; }
  let top = logitAt(row, first);
  var least = 0u;
  if (wanted.x > 0.0) { least = edgeOf(row, lane, 0u, wanted.x, top, false); }
  if (wanted.y < 1.0) { least = max(least, edgeOf(row, lane, least, wanted.y, top, true)); }
  var best = lowest;
  var place = 0xffffffffu;
  for (var i = 4u * lane; i < param.V; i += 1024u) {
    let warm = warmed(row, i, top);
    for (var c = 0u; c < 4u; c++) {
      if (i + c >= param.V || imageOf(warm[c]) < least) { continue; }
      let value = warm[c] + noiseOf(row, i + c);
      if (value > best || place == 0xffffffffu) {
        best = value;
        place = i + c;
      }
    }
  }
  let found = groupBest(best, place, lane);
  if (lane == 0u) { token[row] = i32(found); }
}

// Gumbel noise of the row's seed and position.
fn noiseOf(row: u32, v: u32) -> f32 {
  return -logOf(-logOf(toUnit(threefry(u32(seed[row]), u32(position[row]), v, 0u).x)));
}
