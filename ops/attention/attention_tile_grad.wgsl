// The gradient of training's attention for many queries, with the tiles of attention_tile.wgsl.
// Parallel plan: a workgroup of 64 lanes has the dq of 32 queries and walks their keys, or the
// dKeyParts or the dValueParts of 32 keys and walks the queries of its part that see them, 32 at a
// time; weights are computed once more from lse. Bytes: all once for 32 queries or keys.

var<workgroup> deltas: array<f32, 32>;
var<workgroup> lastSeeing: array<u32, 64>;

const ofQueries = 0u;
const ofKeys = 1u;
const ofValues = 2u;
const ofResults = 3u;

// Column 32 c + 4 (lane % 8) of the row of one of the tensors that begins at `place`.
fn fourOf(which: u32, place: u32, c: u32, lane: u32) -> vec4f {
  let column = 8u * c + lane % 8u;
  if (column >= param.E / 4u) { return vec4f(); }
  if (which == ofQueries) { return q[place + column]; }
  if (which == ofKeys) { return keys[place + column]; }
  if (which == ofValues) { return values[place + column]; }
  return dy[place + column];
}

// Products over all columns of 32 rows of one tensor with 32 of another, lane's rows of each given.
fn productsOf(
  scores: ptr<function, array<vec4f, 4>>,
  a: u32, aPlaces: vec4u, b: u32, bPlaces: vec4u, lane: u32,
) {
  let row = lane / 8u * 4u;
  for (var c = 0u; 32u * c < param.E; c++) {
    for (var i = 0u; i < 4u; i++) {
      tileA[9u * (row + i) + lane % 8u] = fourOf(a, aPlaces[i], c, lane);
      tileB[9u * (row + i) + lane % 8u] = fourOf(b, bPlaces[i], c, lane);
    }
    workgroupBarrier();
    addProducts(scores, lane);
    workgroupBarrier();
  }
}

// Adds 32 rows of a tensor, times the weights in tile A, to columns 32 c … of a lane's results.
fn mixRows(acc: ptr<private, array<vec4f, 4>>, which: u32, places: vec4u, c: u32, lane: u32) {
  if (32u * c >= param.E) { return; }
  let row = lane / 8u * 4u;
  for (var i = 0u; i < 4u; i++) {
    tileB[9u * (row + i) + lane % 8u] = fourOf(which, places[i], c, lane);
  }
  workgroupBarrier();
  addToAcc(acc, lane);
  workgroupBarrier();
}

fn mixAll(which: u32, places: vec4u, lane: u32) {
  mixRows(&acc0, which, places, 0u, lane);
  mixRows(&acc1, which, places, 1u, lane);
  mixRows(&acc2, which, places, 2u, lane);
  mixRows(&acc3, which, places, 3u, lane);
}

// Σ dy·y of the lane's four rows, in all 8 lanes.
fn deltasOf(places: vec4u, lane: u32) -> vec4f {
  var part = vec4f();
  for (var i = 0u; i < 4u; i++) {
    for (var column = lane % 8u; column < param.E / 4u; column += 8u) {
      part[i] += dot(dy[places[i] + column], y[places[i] + column]);
    }
  }
  return rowsSum(part, lane);
}

@compute @workgroup_size(64)
fn causalAttentionGradTile(
  @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32,
) {
  let item = rowOf(group);
  if (item >= param.Groups) { return; }
  let queries = param.B * param.G * ((param.T * param.H / param.G + 31u) / 32u);
  if (item < queries) {
    queryTileGrad(item, queries, lane);
  } else {
    let rest = item - queries;
    if (rest % 2u == 0u) { keyTileGrad(rest / 2u, lane); } else { valueTileGrad(rest / 2u, lane); }
  }
}

// dq of 32 queries of a key head, the longest rows first.
fn queryTileGrad(item: u32, items: u32, lane: u32) {
  let b = item % (param.B * param.G) / param.G;
  let g = item % param.G;
  let each = param.H / param.G;
  let start = (items - 1u - item) / (param.B * param.G) * 32u;
  let row = start + lane / 8u * 4u;
  queryPlaces = placeQueries(b, g, row);
  lastKeys = min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(param.T * each - 1u)) / each;
  var sums = vec4f();
  for (var i = 0u; i < 4u; i++) {
    firstKeys[i] = u32(starts[b * param.T + lastKeys[i]]);
    sums[i] = lse[queryPlaces[i] / (param.E / 4u)];
  }
  let delta = deltasOf(queryPlaces, lane);
  if (lane == 0u) { keyEnds = seenByTile(b, start); }
  let ends = workgroupUniformLoad(&keyEnds);
  for (var j = ends.x; j <= ends.y; j += 32u) {
    let places = placeKeys(b * param.G + g, j, lane);
    var scores = array<vec4f, 4>();
    var dWeights = array<vec4f, 4>();
    productsOf(&scores, ofQueries, queryPlaces, ofKeys, places, lane);
    productsOf(&dWeights, ofResults, queryPlaces, ofValues, places, lane);
    for (var i = 0u; i < 4u; i++) {
      let weight = exp(scores[i] * param.scale - sums[i]) * (dWeights[i] - delta[i]) * param.scale;
      scores[i] = select(vec4f(), weight, seenOf(i, j, lane));
    }
    storeWeights(&scores, lane);
    mixAll(ofKeys, places, lane);
  }
  writeGrad(&acc0, 0u, row, lane);
  writeGrad(&acc1, 1u, row, lane);
  writeGrad(&acc2, 2u, row, lane);
  writeGrad(&acc3, 3u, row, lane);
}

fn writeGrad(acc: ptr<private, array<vec4f, 4>>, c: u32, row: u32, lane: u32) {
  let column = 8u * c + lane % 8u;
  for (var i = 0u; i < 4u; i++) {
    if (column < param.E / 4u && row + i < param.T * param.H / param.G) {
      dq[queryPlaces[i] + column] = (*acc)[i];
    }
  }
}

// Where the lane's four of 32 keys from j on of a head begin, the last key's if beyond.
fn placeKeys(head: u32, j: u32, lane: u32) -> vec4u {
  let key = min(vec4u(j + lane / 8u * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(param.T - 1u));
  return (head * param.T + key) * (param.E / 4u);
}

// 32 keys and the query heads that a part has.
struct KeyTile { b: u32, head: u32, part: u32, key: u32, firstHead: u32, each: u32 }

fn keyTileOf(item: u32) -> KeyTile {
  let heads = param.B * param.G * param.R;
  let part = item % heads;
  let each = param.H / param.G / param.R;
  let head = part / param.R;
  let firstHead = (head % param.G) * (param.H / param.G) + part % param.R * each;
  return KeyTile(head / param.G, head, part, item / heads * 32u, firstHead, each);
}

// Row of lse, of queries `row` … of a part: its heads side by side for each position.
fn placeRows(tile: KeyTile, rows: vec4u) -> vec4u {
  let known = min(rows, vec4u(param.T * tile.each - 1u));
  return (tile.b * param.T + known / tile.each) * param.H + tile.firstHead + known % tile.each;
}

// Where the lane's four of 32 queries from `row` on begin in q and dy.
fn placeLoaded(tile: KeyTile, row: u32, lane: u32) -> vec4u {
  let rows = vec4u(row + lane / 8u * 4u) + vec4u(0u, 1u, 2u, 3u);
  return placeRows(tile, rows) * (param.E / 4u);
}

// One more than the last row that sees one of the tile's keys.
fn rowsEnd(tile: KeyTile, lane: u32) -> u32 {
  lastSeeing[lane] = 0u;
  for (var t = tile.key + lane; t < param.T; t += 64u) {
    if (u32(starts[tile.b * param.T + t]) < tile.key + 32u) { lastSeeing[lane] = t; }
  }
  workgroupBarrier();
  if (lane == 0u) {
    var last = tile.key;
    for (var i = 0u; i < 64u; i++) { last = max(last, lastSeeing[i]); }
    keyEnds = vec2u(tile.key, last + 1u);
  }
  return workgroupUniformLoad(&keyEnds).y * tile.each;
}

// Weights of 4 queries from `row` + lane % 8 on, 8 apart, for the lane's 4 keys, out of scores.
fn weighRows(scores: ptr<function, array<vec4f, 4>>, tile: KeyTile, row: u32, lane: u32) {
  let rows = vec4u(row + lane % 8u) + vec4u(0u, 8u, 16u, 24u);
  let at = placeRows(tile, rows);
  let t = rows / tile.each;
  var sums = vec4f();
  var first = vec4u();
  for (var i = 0u; i < 4u; i++) {
    sums[i] = lse[at[i]];
    first[i] = u32(starts[at[i] / param.H]);
  }
  for (var i = 0u; i < 4u; i++) {
    let key = vec4u(tile.key + lane / 8u * 4u + i);
    let seen = (t < vec4u(param.T)) & (first <= key) & (key <= t);
    (*scores)[i] = select(vec4f(), exp((*scores)[i] * param.scale - sums), seen);
  }
}

// dValueParts: Σ weights·dy.
fn valueTileGrad(item: u32, lane: u32) {
  let tile = keyTileOf(item);
  let places = placeKeys(tile.head, tile.key, lane);
  let end = rowsEnd(tile, lane);
  for (var row = tile.key * tile.each; row < end; row += 32u) {
    let queries = placeLoaded(tile, row, lane);
    var scores = array<vec4f, 4>();
    productsOf(&scores, ofKeys, places, ofQueries, queries, lane);
    weighRows(&scores, tile, row, lane);
    storeWeights(&scores, lane);
    mixAll(ofResults, queries, lane);
  }
  writeValuePart(&acc0, 0u, tile, lane);
  writeValuePart(&acc1, 1u, tile, lane);
  writeValuePart(&acc2, 2u, tile, lane);
  writeValuePart(&acc3, 3u, tile, lane);
}

// dKeyParts: Σ weights·(dy·v − Σ dy·y)·scale·q.
fn keyTileGrad(item: u32, lane: u32) {
  let tile = keyTileOf(item);
  let places = placeKeys(tile.head, tile.key, lane);
  let end = rowsEnd(tile, lane);
  for (var row = tile.key * tile.each; row < end; row += 32u) {
    let queries = placeLoaded(tile, row, lane);
    var scores = array<vec4f, 4>();
    var dWeights = array<vec4f, 4>();
    let own = deltasOf(queries, lane);
    if (lane % 8u == 0u) {
      for (var i = 0u; i < 4u; i++) { deltas[lane / 2u + i] = own[i]; }
    }
    productsOf(&scores, ofKeys, places, ofQueries, queries, lane);
    productsOf(&dWeights, ofValues, places, ofResults, queries, lane);
    weighRows(&scores, tile, row, lane);
    let o = lane % 8u;
    let delta = vec4f(deltas[o], deltas[o + 8u], deltas[o + 16u], deltas[o + 24u]);
    for (var i = 0u; i < 4u; i++) { scores[i] *= (dWeights[i] - delta) * param.scale; }
    storeWeights(&scores, lane);
    mixAll(ofQueries, queries, lane);
  }
  writeKeyPart(&acc0, 0u, tile, lane);
  writeKeyPart(&acc1, 1u, tile, lane);
  writeKeyPart(&acc2, 2u, tile, lane);
  writeKeyPart(&acc3, 3u, tile, lane);
}

fn writeValuePart(acc: ptr<private, array<vec4f, 4>>, c: u32, tile: KeyTile, lane: u32) {
  let column = 8u * c + lane % 8u;
  for (var i = 0u; i < 4u; i++) {
    let key = tile.key + lane / 8u * 4u + i;
    if (column < param.E / 4u && key < param.T) {
      dValueParts[(tile.part * param.T + key) * (param.E / 4u) + column] = (*acc)[i];
    }
  }
}

fn writeKeyPart(acc: ptr<private, array<vec4f, 4>>, c: u32, tile: KeyTile, lane: u32) {
  let column = 8u * c + lane % 8u;
  for (var i = 0u; i < 4u; i++) {
    let key = tile.key + lane / 8u * 4u + i;
    if (column < param.E / 4u && key < param.T) {
      dKeyParts[(tile.part * param.T + key) * (param.E / 4u) + column] = (*acc)[i];
    }
  }
}
