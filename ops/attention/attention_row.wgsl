// Attention of single queries over the cache, up to four heads of a key head at a time. Parallel
// plan: of 32 keys, 8 lanes share each for the scores; then 64 lanes a query head share the values;
// sums are rescaled as the maximum grows. rope_attention.wgsl does slices of the cache so, and here
// a workgroup does all of it. Bytes: keys and values once for a query of four heads.

// The constant `width` is E/4. A cache is read through keyFour(row, e) and valueFour(row, e), four numbers
// of a row: of numbers here, of bytes in q8_attention.wgsl.

const runKeys = 32u;

// Four heads of queries, a head every E/4 fours; the last key and value.
var<workgroup> queries: array<vec4f, 256>;
var<workgroup> newKey: array<vec4f, 64>;
var<workgroup> newValue: array<vec4f, 64>;
// What a lane has of the scores, four heads together; later of the result, four columns together.
var<workgroup> shares: array<vec4f, 264>;
// 32 a head.
var<workgroup> scoresNow: array<f32, 128>;
var<workgroup> weightsNow: array<f32, 128>;
var<workgroup> lastPosition: u32;

fn keyFour(row: u32, e: u32) -> vec4f {
  return keys_get(row * width + e);
}

fn valueFour(row: u32, e: u32) -> vec4f {
  return values_get(row * width + e);
}

// Scores of 32 keys from j on, those up to `last`, for four heads, 32 a head in scoresNow.
fn scoreKeys(base: u32, j: u32, last: u32, lane: u32) {
  let key = j + lane / 8u;
  var share = vec4f();
  for (var e = lane % 8u; e < width && key <= last; e += 8u) {
    var x = newKey[e];
    if (key < last) { x = keyFour(base + key, e); }
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

// A value from the cache or, at `last`, the new one; nothing beyond.
fn valueAt(base: u32, key: u32, column: u32, last: u32) -> vec4f {
  if (key < last) { return valueFour(base + key, column); }
  if (key == last) { return newValue[column]; }
  return vec4f();
}

// Every step-th run of keys up to `last` from run `start` on, for four heads. A lane has a column of
// every fold-th key of a head. Leaves the lanes' columns in shares, and 32 a head in scoresNow what
// the sum of the weights is made of; returns the head's maximum.
fn mixRuns(base: u32, start: u32, step: u32, last: u32, lane: u32) -> f32 {
  let head = lane / 64u;
  let column = lane % 64u % width;
  let first = lane % 64u / width;
  let fold = 64u / width;
  var top = lowest;
  var total = 0.0;
  var acc = vec4f();
  for (var j = start * runKeys; j <= last; j += step * runKeys) {
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
    acc *= shrink;
    total *= shrink;
    for (var i = 0u; i < 8u; i++) {
      let k = first + i * fold;
      if (k < end) {
        total += weightsNow[32u * head + k];
        acc += weightsNow[32u * head + k] * ahead[i];
      }
    }
    for (var k = first + 8u * fold; k < end; k += fold) {
      total += weightsNow[32u * head + k];
      acc += weightsNow[32u * head + k] * valueAt(base, j + k, column, last);
    }
  }
  shares[lane] = acc;
  if (column == 0u && first < fold) { scoresNow[32u * head + first] = total; }
  workgroupBarrier();
  return top;
}

// Number e of a head's result, and the sum of its weights: not yet divided.
fn accOf(head: u32, e: u32) -> f32 {
  var sum = 0.0;
  for (var f = 0u; f < 64u / width; f++) { sum += shares[64u * head + f * width + e / 4u][e % 4u]; }
  return sum;
}

fn massOf(head: u32) -> f32 {
  var sum = 0.0;
  for (var f = 0u; f < 64u / width; f++) { sum += scoresNow[32u * head + f]; }
  return sum;
}

// Up to four heads of a row of queries.
fn attendRow(item: u32, lane: u32) {
  let each = param.H / param.G;
  let row = item / ((each + 3u) / 4u) / param.G;
  let g = item / ((each + 3u) / 4u) % param.G;
  let h = item % ((each + 3u) / 4u) * 4u;
  let b = row / param.T;
  if (lane == 0u) { lastPosition = min(u32(position[b]) + row % param.T, param.S - 1u); }
  let last = workgroupUniformLoad(&lastPosition);
  let first = row * param.H + g * each + h;
  let count = min(each - h, 4u);
  let base = (b * param.G + g) * param.S;
  if (lane < 4u * width) {
    var four = vec4f();
    if (lane / width < count) { four = q[first * width + lane]; }
    queries[lane] = four;
  }
  if (lane < width) {
    newKey[lane] = keyFour(base + last, lane);
    newValue[lane] = valueFour(base + last, lane);
  }
  workgroupBarrier();
  mixRuns(base, 0u, 1u, last, lane);
  for (var i = lane; i < count * param.E; i += 256u) {
    y[first * param.E + i] = accOf(i / param.E, i % param.E) / massOf(i / param.E);
  }
}

@compute @workgroup_size(256)
fn attentionRow(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (rowOf(group) < param.Groups) { attendRow(rowOf(group), lane); }
}
