// One position of each sequence: head norms, RoPE, the cache write and attention over slices of the
// cache; and the slices together. Parallel plan: a workgroup a slice of a key head, for up to four
// of its query heads at a time. It normalises and turns its own queries; the slice that will hold
// the new key and value writes them to the cache, and takes them from workgroup memory itself, so
// that no workgroup reads what another one writes. Of 32 keys, 8 lanes share each for the scores;
// then 64 lanes a query head share the values. Bytes: the cache once for four query heads.

const runKeys = 32u;

// Four heads of queries, a head every E/4 fours; the new key and value.
var<workgroup> queries: array<vec4f, 256>;
var<workgroup> newKey: array<vec4f, 64>;
var<workgroup> newValue: array<vec4f, 64>;
// What a lane has of the scores, four heads together; later of the result, four columns together.
var<workgroup> shares: array<vec4f, 264>;
// 32 a head.
var<workgroup> scoresNow: array<f32, 128>;
var<workgroup> weightsNow: array<f32, 128>;
var<workgroup> lastPosition: u32;

// const width: E / 4
// Four numbers of a head of qkv, normalised and turned to `place`; weights from qNorm or kNorm.
fn turned(first: u32, e: u32, place: u32, isKey: bool) -> vec4f {
  var squares = 0.0;
  for (var i = 0u; i < width; i++) { squares += dot(qkv[first + i], qkv[first + i]); }
  let rstd = 1.0 / sqrt(squares / f32(param.E) + param.eps);
  let head = select(0u, param.H, isKey);
  let own = qkv[first + e] * weightFour(head, e);
  let other = qkv[first + pairFour(e)] * weightFour(head, pairFour(e));
  return turnFour(own, other, e, place, 1.0) * rstd;
}

// As a cache keeps it: in f16 at most ±65504, and rounded.
fn kept(x: vec4f) -> vec4f {
  if (keysType != 1u) { return x; }
  let near = clamp(x, vec4f(-65504.0), vec4f(65504.0));
  return vec4f(unpack2x16float(packHalves(near.xy)), unpack2x16float(packHalves(near.zw)));
}

// The new key and value of key head g, to workgroup memory and to the cache.
fn writeNew(b: u32, g: u32, place: u32, lane: u32) {
  if (lane >= width) { return; }
  let row = b * (param.H + 2u * param.G) + param.H + g;
  let at = ((b * param.G + g) * param.S + place) * width + lane;
  newKey[lane] = kept(turned(row * width, lane, place, true));
  newValue[lane] = kept(qkv[(row + param.G) * width + lane]);
  keys_put(at, newKey[lane]);
  values_put(at, newValue[lane]);
}

// Scores of 32 keys from j on, those up to `last`, for four heads, 32 a head in scoresNow.
fn scoreKeys(base: u32, j: u32, last: u32, lane: u32) {
  let key = j + lane / 8u;
  var share = vec4f();
  for (var e = lane % 8u; e < width && key <= last; e += 8u) {
    var x = newKey[e];
    if (key < last) { x = keys_get(base + key * width + e); }
    share += vec4f(
      dot(x, queries[e]), dot(x, queries[width + e]),
      dot(x, queries[2u * width + e]), dot(x, queries[3u * width + e]),
    );
  }
  shares[33u * (lane % 8u) + lane / 8u] = share;
  workgroupBarrier();
  let k = lane % 64u;
  if (k < 32u) {
    var score = 0.0;
    for (var i = 0u; i < 8u; i++) { score += shares[33u * i + k][lane / 64u]; }
    scoresNow[lane / 64u * 32u + k] = select(lowest, score * param.scale, j + k <= last);
  }
  workgroupBarrier();
}

// The largest of a head's 32 scores.
fn bestOf(head: u32) -> f32 {
  var best = lowest;
  for (var i = 0u; i < 32u; i++) { best = max(best, scoresNow[32u * head + i]); }
  return best;
}

// groups: B * G * R
// fours: qkv qNorm kNorm angles keys values
@compute @workgroup_size(256)
fn ropeAttentionParts(
  @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32,
) {
  let item = rowOf(group);
  if (item >= param.Groups) { return; }
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
    mixSlice(g, h, r, last, lane);
    workgroupBarrier();
  }
}

// Queries of heads h … h + 3 of key head g of all; zeros for those that there are not.
fn loadQueries(g: u32, h: u32, place: u32, lane: u32) {
  let each = param.H / param.G;
  let head = g / param.G * (param.H + 2u * param.G) + g % param.G * each + h;
  for (var i = lane; i < 4u * width; i += 256u) {
    var value = vec4f();
    if (h + i / width < each) {
      value = turned((head + i / width) * width, i % width, place, false);
    }
    queries[i] = value;
  }
}

// A value from the cache or, at `last`, the new one; nothing beyond.
fn valueAt(base: u32, key: u32, column: u32, last: u32) -> vec4f {
  if (key < last) { return values_get(base + key * width + column); }
  if (key == last) { return newValue[column]; }
  return vec4f();
}

// Part r of heads h … h + 3 of key head g of all. A lane has a column of every fold-th key.
fn mixSlice(g: u32, h: u32, r: u32, last: u32, lane: u32) {
  let base = g * param.S * width;
  let head = lane / 64u;
  let column = lane % 64u % width;
  let first = lane % 64u / width;
  let fold = 64u / width;
  var top = lowest;
  var total = 0.0;
  var mixed = vec4f();
  for (var j = r * runKeys; j <= last; j += runKeys * param.R) {
    // The end of the lane's keys. The first values are asked for before the scores are known.
    let end = select(0u, 32u, first < fold);
    var ahead = array<vec4f, 8>();
    for (var i = 0u; i < 8u; i++) {
      let k = first + i * fold;
      if (k < end) { ahead[i] = valueAt(base, j + k, column, last); }
    }
    scoreKeys(base, j, last, lane);
    let best = max(top, bestOf(head));
    let shrink = exp(top - best);
    top = best;
    if (lane % 64u < 32u) {
      let place = lane / 64u * 32u + lane % 64u;
      weightsNow[place] = select(0.0, exp(scoresNow[place] - top), j + lane % 64u <= last);
    }
    workgroupBarrier();
    mixed *= shrink;
    total *= shrink;
    for (var i = 0u; i < 8u; i++) {
      let k = first + i * fold;
      if (k < end) {
        total += weightsNow[32u * head + k];
        mixed += weightsNow[32u * head + k] * ahead[i];
      }
    }
    for (var k = first + 8u * fold; k < end; k += fold) {
      total += weightsNow[32u * head + k];
      mixed += weightsNow[32u * head + k] * valueAt(base, j + k, column, last);
    }
  }
  shares[lane] = mixed;
  if (column == 0u && first < fold) { scoresNow[32u * head + first] = total; }
  workgroupBarrier();
  writePart(g, h, r, top, lane);
}

// The sums over the lanes that have a column, and each head's maximum and sum.
fn writePart(g: u32, h: u32, r: u32, top: f32, lane: u32) {
  let each = param.H / param.G;
  let fold = 64u / width;
  let begin = ((g * each + h) * param.R + r) * (param.E + 2u);
  let count = min(each - h, 4u);
  for (var i = lane; i < count * param.E; i += 256u) {
    let e = i % param.E;
    var sum = 0.0;
    let share = 64u * (i / param.E) + e / 4u;
    for (var f = 0u; f < fold; f++) { sum += shares[share + f * width][e % 4u]; }
    parts[begin + i / param.E * param.R * (param.E + 2u) + e] = sum;
  }
  if (lane % 64u != 0u || lane / 64u >= count) { return; }
  let at = begin + lane / 64u * param.R * (param.E + 2u) + param.E;
  var sum = 0.0;
  for (var f = 0u; f < fold; f++) { sum += scoresNow[lane / 64u * 32u + f]; }
  parts[at] = top;
  parts[at + 1u] = sum;
}

// A slice without a position: zeros for all heads of key head g of all.
fn leaveEmpty(g: u32, r: u32, lane: u32) {
  let each = param.H / param.G;
  for (var i = lane; i < each * (param.E + 2u); i += 256u) {
    let head = g * each + i / (param.E + 2u);
    parts[(head * param.R + r) * (param.E + 2u) + i % (param.E + 2u)] = 0.0;
  }
}

// groups: B * H
@compute @workgroup_size(64)
fn mergeParts(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = rowOf(group);
  if (head >= param.Groups) { return; }
  let begin = head * param.R * (param.E + 2u);
  var top = lowest;
  for (var r = 0u; r < param.R; r++) {
    let edge = begin + r * (param.E + 2u) + param.E;
    if (parts[edge + 1u] != 0.0) { top = max(top, parts[edge]); }
  }
  for (var e = lane; e < param.E; e += 64u) {
    var total = 0.0;
    var mixed = 0.0;
    for (var r = 0u; r < param.R; r++) {
      let at = begin + r * (param.E + 2u);
      let sum = parts[at + param.E + 1u];
      if (sum == 0.0) { continue; }
      let factor = exp(parts[at + param.E] - top);
      total += factor * sum;
      mixed += factor * parts[at + e];
    }
    y[head * param.E + e] = mixed / total;
  }
}
