// Products in tiles, for many rows. Parallel plan: a workgroup has 64 rows by four panels, or 128 by
// eight where there are many tiles, and walks k by sixteens or eights, with that much of both sides in
// workgroup memory and the next part on its way in registers; a lane has 4 by 4 or 8 by 8 results in
// registers. Bytes: the weights once for a tile's rows, the rows once for a tile's panels.

// Constants (kernels.ts): `tall` rows by `quads` fours of outputs are a lane's, `depth` of K is in
// memory at a time, `gated` is 1 where panels are gates and values in turns.

// Results of a lane: row i, four outputs q at i · quads + q. All that indexes them is a constant once loops
// are unrolled, which those that may end early are not: drivers would keep the tile in memory.
var<private> tile: array<vec4f, tall * quads>;

// Fours of rows of the tile: those of one k after the other, with a place between.
const rowQuads = 4u * tall;
var<workgroup> xTile: array<vec4f, depth * (rowQuads + 1u)>;

// Fours of outputs, as they are kept.
alias Kept = vec4f;
const outputQuads = 16u * quads;
var<workgroup> wTile: array<Kept, depth * outputQuads>;

// How many products are summed up.
fn along() -> u32 {
  return param.K;
}

fn tileValue(m: u32, k: u32) -> f32 {
  if (m >= param.M || k >= param.K) { return 0.0; }
  return x[m * param.K + k];
}

fn fourRows(m: u32, k: u32) -> vec4f {
  return vec4f(tileValue(m, k), tileValue(m + 1u, k), tileValue(m + 2u, k), tileValue(m + 3u, k));
}

// Number k of four rows from m on.
fn tileRows(m: u32, k: u32) -> vec4f {
  return fourRows(m, k);
}

// Weights k of a quarter of a panel, of `count` panels.
fn tileWeights(panel: u32, count: u32, k: u32, quarter: u32) -> vec4f {
  if (panel >= count || k >= param.K) { return vec4f(); }
  return w_get((panel * param.K + k) * 4u + quarter);
}

// The four rows and the k of the tile that a lane loads.
fn placeInRows(lane: u32) -> vec2u {
  return vec2u(lane / depth, lane % depth);
}

// Four numbers of a lane, for others to see.
fn keepFour(lane: u32, four: vec4f) {
  if (lane < depth * rowQuads) { xTile[lane] = four; }
}

fn keptNumber(lane: u32, c: u32) -> f32 {
  return xTile[lane][c];
}

// Multiplies a lane's results by what their rows are multiplied by.
fn scaleTile(lane: u32) {
}

// Place among the fours of outputs of a lane's q; gates lie a panel before their values.
fn outputQuad(q: u32, lane: u32) -> u32 {
  if (gated == 0u) { return q * 16u + lane % 16u; }
  return (lane % 16u) / 4u * 8u + q * 4u + lane % 4u;
}

fn multiplyTiles(lane: u32) {
  for (var k = 0u; k < depth; k++) {
    var weights: array<vec4f, quads>;
    for (var q = 0u; q < quads; q++) {
      weights[q] = vec4f(wTile[k * outputQuads + outputQuad(q, lane)]);
    }
    for (var i = 0u; i < tall; i += 4u) {
      let four = xTile[k * (rowQuads + 1u) + (lane / 16u * tall + i) / 4u];
      for (var q = 0u; q < quads; q++) {
        tile[i * quads + q] += four.x * weights[q];
        tile[(i + 1u) * quads + q] += four.y * weights[q];
        tile[(i + 2u) * quads + q] += four.z * weights[q];
        tile[(i + 3u) * quads + q] += four.w * weights[q];
      }
    }
  }
}

// The tile of rows from m on and panels from p on, of `count` in all.
fn tileProduct(m: u32, p: u32, count: u32, lane: u32) {
  let place = placeInRows(lane);
  let row = m + 4u * place.x;
  let isLoading = place.x < rowQuads && place.y < depth;
  let k = (lane / 4u) % depth;
  let panel = p + lane / (4u * depth);
  var left = tileRows(row, place.y);
  var right = tileWeights(panel, count, k, lane % 4u);
  for (var start = 0u; start < along(); start += depth) {
    if (isLoading) { xTile[place.y * (rowQuads + 1u) + place.x] = left; }
    wTile[k * outputQuads + lane / (4u * depth) * 4u + lane % 4u] = Kept(right);
    workgroupBarrier();
    if (start + depth < along()) {
      left = tileRows(row, start + depth + place.y);
      right = tileWeights(panel, count, start + depth + k, lane % 4u);
    }
    multiplyTiles(lane);
    workgroupBarrier();
  }
  scaleTile(lane);
}

// First row and first panel of a workgroup's tile, of `count` panels.
fn cornerOf(group: vec3u, count: u32) -> vec2u {
  let across = (count + 4u * quads - 1u) / (4u * quads);
  return vec2u(rowOf(group) / across * 16u * tall, rowOf(group) % across * 4u * quads);
}

// Writes `count` of four results from place `at` on.
fn putFour(at: u32, count: u32, four: vec4f) {
  if (count > 0u) { y[at] = four.x; }
  if (count > 1u) { y[at + 1u] = four.y; }
  if (count > 2u) { y[at + 2u] = four.z; }
  if (count > 3u) { y[at + 3u] = four.w; }
}

// Adds them instead.
fn addFour(at: u32, count: u32, four: vec4f) {
  if (count > 0u) { r[at] += four.x; }
  if (count > 1u) { r[at + 1u] += four.y; }
  if (count > 2u) { r[at + 2u] += four.z; }
  if (count > 3u) { r[at + 3u] += four.w; }
}

// How many of row m's numbers there are from o on, of `end`.
fn countFrom(m: u32, o: u32, end: u32) -> u32 {
  return select(0u, max(end, o) - o, m < param.M);
}

// y = x Wᵀ
fn tileRowsProduct(group: vec3u, lane: u32) {
  let corner = cornerOf(group, param.P);
  tileProduct(corner.x, corner.y, param.P, lane);
  for (var i = 0u; i < tall; i++) {
    let m = corner.x + lane / 16u * tall + i;
    for (var q = 0u; q < quads; q++) {
      let o = 16u * corner.y + 4u * outputQuad(q, lane);
      putFour(m * param.N + o, countFrom(m, o, param.N), tile[i * quads + q]);
    }
  }
}

// r += x Wᵀ
fn tileRowsProductAdd(group: vec3u, lane: u32) {
  let corner = cornerOf(group, param.P);
  tileProduct(corner.x, corner.y, param.P, lane);
  for (var i = 0u; i < tall; i++) {
    let m = corner.x + lane / 16u * tall + i;
    for (var q = 0u; q < quads; q++) {
      let o = 16u * corner.y + 4u * outputQuad(q, lane);
      addFour(m * param.N + o, countFrom(m, o, param.N), tile[i * quads + q]);
    }
  }
}

// y = silu(g) v
fn tileRowsProductGated(group: vec3u, lane: u32) {
  let corner = cornerOf(group, 2u * param.P);
  tileProduct(corner.x, corner.y, 2u * param.P, lane);
  let o = 8u * corner.y + 4u * (lane % 16u);
  for (var i = 0u; i < tall; i++) {
    let m = corner.x + lane / 16u * tall + i;
    let gate = tile[2u * i];
    let four = vec4f(silu(gate.x), silu(gate.y), silu(gate.z), silu(gate.w)) * tile[2u * i + 1u];
    putFour(m * param.F + o, countFrom(m, o, param.F), four);
  }
}

@compute @workgroup_size(256)
fn matmulTile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  tileRowsProduct(group, lane);
}

@compute @workgroup_size(256)
fn normMatmulTile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  tileRowsProduct(group, lane);
}

@compute @workgroup_size(256)
fn matmulAddTile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  tileRowsProductAdd(group, lane);
}

@compute @workgroup_size(256)
fn matmulSwigluTile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  tileRowsProductGated(group, lane);
}

@compute @workgroup_size(256)
fn normMatmulSwigluTile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  tileRowsProductGated(group, lane);
}
