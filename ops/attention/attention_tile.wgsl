// Attention of many queries, over the cache and in training. Parallel plan: a workgroup of 64 lanes
// has 32 queries of a key head, the H/G of each position side by side, and walks their keys by 32.
// Both sides of a product lie in workgroup memory, 32 columns at a time; a lane has 4 queries by
// 4 keys of the scores, then 4 queries by 4 of each 32 columns of the result; maxima and sums grow
// as in attention.wgsl. The longest rows go first. Bytes: keys and values once for 32 queries.

// Tiles of 32 rows by 8 fours, a row every 9, so that lanes of several rows meet no common bank.
// Queries, later the weights, four queries of a key together:
var<workgroup> tileA: array<vec4f, 288>;
// Keys, later values:
var<workgroup> tileB: array<vec4f, 288>;
var<workgroup> rowParts: array<vec4f, 64>;
var<workgroup> keyEnds: vec2u;

// The four queries of a lane: where they lie in q and y, and the keys that each may see.
var<private> queryPlaces: vec4u;
var<private> firstKeys: vec4u;
var<private> lastKeys: vec4u;
// What they have in columns 0, 32, 64 and 96 from 4 (lane % 8) on.
var<private> acc0: array<vec4f, 4>;
var<private> acc1: array<vec4f, 4>;
var<private> acc2: array<vec4f, 4>;
var<private> acc3: array<vec4f, 4>;
// The maximum of each query in all its 8 lanes, and what one lane adds to its sum.
var<private> mosts: vec4f;
var<private> totals: vec4f;

// The largest of the 8 lanes that have the same four rows; a barrier must follow before the next.
fn rowsMax(value: vec4f, lane: u32) -> vec4f {
  rowParts[lane] = value;
  workgroupBarrier();
  var most = rowParts[lane & 56u];
  for (var i = 1u; i < 8u; i++) { most = max(most, rowParts[(lane & 56u) + i]); }
  return most;
}

fn rowsSum(value: vec4f, lane: u32) -> vec4f {
  rowParts[lane] = value;
  workgroupBarrier();
  var total = rowParts[lane & 56u];
  for (var i = 1u; i < 8u; i++) { total += rowParts[(lane & 56u) + i]; }
  return total;
}

// Places in q of four rows from `row` on, of the T·H/G queries of key head g, the last if beyond.
fn placeQueries(b: u32, g: u32, row: u32) -> vec4u {
  let each = param.H / param.G;
  let rows = min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(param.T * each - 1u));
  return ((b * param.T + rows / each) * param.H + g * each + rows % each) * (param.E / 4u);
}

// Four numbers of a row from column 32 c + 4 (lane % 8) on go into row `row` of a tile.
fn loadQuery(place: u32, row: u32, c: u32, lane: u32) {
  let column = 8u * c + lane % 8u;
  var value = vec4f();
  if (column < param.E / 4u) { value = q[place + column]; }
  tileA[9u * row + lane % 8u] = value;
}

fn loadKey(place: u32, row: u32, c: u32, lane: u32) {
  let column = 8u * c + lane % 8u;
  var value = vec4f();
  if (column < param.E / 4u) { value = keys_get(place + column); }
  tileB[9u * row + lane % 8u] = value;
}

fn loadValue(place: u32, row: u32, c: u32, lane: u32) {
  let column = 8u * c + lane % 8u;
  var value = vec4f();
  if (column < param.E / 4u) { value = values_get(place + column); }
  tileB[9u * row + lane % 8u] = value;
}

// Products of a lane's 4 rows of tile A with 4 rows of tile B, 8 apart, over the 32 columns.
fn addProducts(scores: ptr<function, array<vec4f, 4>>, lane: u32) {
  let a = 36u * (lane / 8u);
  let b = 9u * (lane % 8u);
  for (var c = 0u; c < 8u; c++) {
    let b0 = tileB[b + c];
    let b1 = tileB[b + 72u + c];
    let b2 = tileB[b + 144u + c];
    let b3 = tileB[b + 216u + c];
    for (var i = 0u; i < 4u; i++) {
      let x = tileA[a + 9u * i + c];
      (*scores)[i] += vec4f(dot(x, b0), dot(x, b1), dot(x, b2), dot(x, b3));
    }
  }
}

// Leaves the scores in tile A, those of a lane's 4 rows together, in a row for each of tile B's.
fn storeWeights(scores: ptr<function, array<vec4f, 4>>, lane: u32) {
  let turned = transpose(mat4x4f((*scores)[0], (*scores)[1], (*scores)[2], (*scores)[3]));
  for (var i = 0u; i < 4u; i++) { tileA[9u * (8u * i + lane % 8u) + lane / 8u] = turned[i]; }
}

// Adds the 32 rows of tile B, times their weights in tile A, to a lane's 4 rows by 4 columns.
fn addToAcc(acc: ptr<private, array<vec4f, 4>>, lane: u32) {
  for (var k = 0u; k < 32u; k++) {
    let weight = tileA[9u * k + lane / 8u];
    let value = tileB[9u * k + lane % 8u];
    for (var i = 0u; i < 4u; i++) { (*acc)[i] += weight[i] * value; }
  }
}

// Columns 32 c … of the values of 32 keys from j on, the head's beginning at `base`.
fn mixColumns(
  acc: ptr<private, array<vec4f, 4>>, shrink: vec4f, base: u32, j: u32, c: u32, lane: u32,
) {
  if (32u * c >= param.E) { return; }
  let row = lane / 8u * 4u;
  for (var i = 0u; i < 4u; i++) {
    loadValue(base + min(j + row + i, keyEnds.y) * (param.E / 4u), row + i, c, lane);
  }
  workgroupBarrier();
  for (var i = 0u; i < 4u; i++) { (*acc)[i] *= shrink[i]; }
  addToAcc(acc, lane);
  workgroupBarrier();
}

// Scaled scores of a lane's queries with 4 keys from j + lane % 8 on, 8 apart.
fn scoresOf(scores: ptr<function, array<vec4f, 4>>, base: u32, j: u32, lane: u32) {
  let row = lane / 8u * 4u;
  for (var c = 0u; 32u * c < param.E; c++) {
    for (var i = 0u; i < 4u; i++) {
      loadQuery(queryPlaces[i], row + i, c, lane);
      loadKey(base + min(j + row + i, keyEnds.y) * (param.E / 4u), row + i, c, lane);
    }
    workgroupBarrier();
    addProducts(scores, lane);
    workgroupBarrier();
  }
}

// What query i of the lane may see of keys j + lane % 8, 8 apart.
fn seenOf(i: u32, j: u32, lane: u32) -> vec4<bool> {
  let key = vec4u(j + lane % 8u) + vec4u(0u, 8u, 16u, 24u);
  return (key >= vec4u(firstKeys[i])) & (key <= vec4u(lastKeys[i]));
}

// All keys from `first` to `last`, also in keyEnds, of the key head that begins at `base`.
fn mixKeys(base: u32, first: u32, last: u32, lane: u32) {
  mosts = vec4f(lowest);
  for (var j = first; j <= last; j += 32u) {
    var scores = array<vec4f, 4>();
    scoresOf(&scores, base, j, lane);
    var tops = vec4f();
    for (var i = 0u; i < 4u; i++) {
      scores[i] = select(vec4f(lowest), scores[i] * param.scale, seenOf(i, j, lane));
      tops[i] = max(max(scores[i].x, scores[i].y), max(scores[i].z, scores[i].w));
    }
    tops = max(mosts, rowsMax(tops, lane));
    let shrink = exp(mosts - tops);
    mosts = tops;
    for (var i = 0u; i < 4u; i++) {
      scores[i] = select(vec4f(), exp(scores[i] - tops[i]), seenOf(i, j, lane));
      totals[i] = totals[i] * shrink[i] + dot(scores[i], vec4f(1.0));
    }
    storeWeights(&scores, lane);
    mixColumns(&acc0, shrink, base, j, 0u, lane);
    mixColumns(&acc1, shrink, base, j, 1u, lane);
    mixColumns(&acc2, shrink, base, j, 2u, lane);
    mixColumns(&acc3, shrink, base, j, 3u, lane);
  }
  totals = rowsSum(totals, lane);
}

// Columns 32 c … of the results; a row beyond the end is the last one once more.
fn writeAcc(acc: ptr<private, array<vec4f, 4>>, c: u32, row: u32, lane: u32) {
  let column = 8u * c + lane % 8u;
  for (var i = 0u; i < 4u; i++) {
    if (column < param.E / 4u && row + i < param.T * param.H / param.G) {
      y[queryPlaces[i] + column] = (*acc)[i] / totals[i];
    }
  }
}

fn writeResults(row: u32, lane: u32) {
  writeAcc(&acc0, 0u, row, lane);
  writeAcc(&acc1, 1u, row, lane);
  writeAcc(&acc2, 2u, row, lane);
  writeAcc(&acc3, 3u, row, lane);
}

@compute @workgroup_size(64)
fn attentionTile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = rowOf(group);
  if (item >= param.Groups) { return; }
  let b = item % (param.B * param.G) / param.G;
  let g = item % param.G;
  let each = param.H / param.G;
  let start = (param.Groups - 1u - item) / (param.B * param.G) * 32u;
  let row = start + lane / 8u * 4u;
  let rows = min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(param.T * each - 1u));
  queryPlaces = placeQueries(b, g, row);
  lastKeys = min(vec4u(u32(position[b])) + rows / each, vec4u(param.S - 1u));
  let t = min(start + 31u, param.T * each - 1u) / each;
  if (lane == 0u) { keyEnds = vec2u(0u, min(u32(position[b]) + t, param.S - 1u)); }
  let ends = workgroupUniformLoad(&keyEnds);
  mixKeys((b * param.G + g) * param.S * (param.E / 4u), 0u, ends.y, lane);
  writeResults(row, lane);
}

@compute @workgroup_size(64)
fn causalAttentionTile(
  @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32,
) {
  let item = rowOf(group);
  if (item >= param.Groups) { return; }
  let b = item % (param.B * param.G) / param.G;
  let g = item % param.G;
  let each = param.H / param.G;
  let start = (param.Groups - 1u - item) / (param.B * param.G) * 32u;
  let row = start + lane / 8u * 4u;
  queryPlaces = placeQueries(b, g, row);
  lastKeys = min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(param.T * each - 1u)) / each;
  for (var i = 0u; i < 4u; i++) { firstKeys[i] = u32(starts[b * param.T + lastKeys[i]]); }
  if (lane == 0u) { keyEnds = seenByTile(b, start); }
  let ends = workgroupUniformLoad(&keyEnds);
  mixKeys((b * param.G + g) * param.T * (param.E / 4u), ends.x, ends.y, lane);
  writeResults(row, lane);
  if (lane % 8u != 0u) { return; }
  for (var i = 0u; i < 4u; i++) {
    if (row + i < param.T * each) {
      lse[queryPlaces[i] / (param.E / 4u)] = mosts[i] + logOf(totals[i]);
    }
  }
}

// The first and the last key that any of 32 queries from `start` on sees.
fn seenByTile(b: u32, start: u32) -> vec2u {
  let each = param.H / param.G;
  let last = min(start + 31u, param.T * each - 1u) / each;
  var first = last;
  for (var t = start / each; t <= last; t++) { first = min(first, u32(starts[b * param.T + t])); }
  return vec2u(first, last);
}
