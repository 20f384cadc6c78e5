// Products in tiles on units that multiply matrices of 16 by 16 of f16 into sums in f32, for weights in
// f16 and bf16. A number of x is the sum of two in f16, the second times 2048: together they have what
// f32 has. Weights are multiplied by `raised` first, so that small ones of bf16 are exact as well. A tile
// with a number beyond f16 is computed once more, in f32. Parallel plan: a workgroup of eight subgroups
// of 32 lanes has 16·rowTiles rows by `across` panels; K goes by 16·slices at a time, a slice to each of
// the subgroups that share a panel: so few rows and narrow matrices keep a GPU busy too. Bytes: the
// weights once for a tile's rows, the rows once for a tile's panels.

// Constants (kernels.ts): `rowTiles`, `across` and `slices`, with across · slices = 8, and `raised`.

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

const finer = 2048.0;
const mostHalf = 65504.0;

// Fours of x that are in workgroup memory at a time, and how many of them a lane loads.
const fours = 64u * slices * rowTiles;
const loads = (fours + 255u) / 256u;

// Tiles of rows in two parts, those of a slice together; 16 by 16 weights of each subgroup.
var<workgroup> upperRows: array<f16, 4u * fours>;
var<workgroup> lowerRows: array<f16, 4u * fours>;
var<workgroup> weightRows: array<f16, 2048>;

// A result of each subgroup; before that squares of the rows.
var<workgroup> results: array<f32, 2048>;
var<workgroup> beyondHalf: atomic<u32>;

// What a lane loads next, the squares of it so far, and how far its numbers are from 0.
var<private> rowsAhead: array<vec4f, loads>;
var<private> weightsAhead: mat2x4f;
var<private> rowSquares: array<f32, loads>;
var<private> farthest: vec4f;

// Results of a lane: of row lane / 16 of tile t and output lane % 16 of panel n at t · across + n.
var<private> found: array<f32, rowTiles * across>;

// A norm's weight times four numbers from k on.
fn weighted(four: vec4f, k: u32) -> vec4f {
  return four;
}

// What a norm multiplies a row of this sum of squares by.
fn scaleOfSquares(all: f32) -> f32 {
  return 1.0;
}

fn fourAt(m: u32, k: u32) -> vec4f {
  if (m >= param.M || k >= param.K) { return vec4f(); }
  return below(x_four(m * param.K + k), k, param.K, 0.0);
}

// Half of the panel's outputs for one k.
fn eightWeights(panel: u32, count: u32, k: u32, half: u32) -> mat2x4f {
  if (panel >= count || k >= param.K) { return mat2x4f(); }
  return w_half((panel * param.K + k) * 2u + half);
}

// The next step's numbers, from k `start` on, of rows from m and panels from p on.
fn loadAhead(m: u32, p: u32, count: u32, start: u32, lane: u32) {
  for (var i = 0u; i < loads; i++) {
    let id = i * 256u + lane;
    let row = id / 4u % (16u * rowTiles);
    let k = start + id / (64u * rowTiles) * 16u + id % 4u * 4u;
    if (id < fours) {
      let four = fourAt(m + row, k);
      rowSquares[i] += dot(four, four);
      rowsAhead[i] = weighted(four, k);
      farthest = max(farthest, abs(rowsAhead[i]));
    }
  }
  let team = lane / 32u;
  let k = start + team / across * 16u + lane % 32u / 2u;
  weightsAhead = f32(raised) * eightWeights(p + team % across, count, k, lane & 1u);
  farthest = max(farthest, max(abs(weightsAhead[0]), abs(weightsAhead[1])));
}

// Four numbers, for all lanes to see, in f16.
fn keepRows(at: u32, four: vec4f) {
  let upper = vec4h(four);
  let lower = vec4h((four - vec4f(upper)) * finer);
  upperRows[at] = upper.x;
  upperRows[at + 1u] = upper.y;
  upperRows[at + 2u] = upper.z;
  upperRows[at + 3u] = upper.w;
  lowerRows[at] = lower.x;
  lowerRows[at + 1u] = lower.y;
  lowerRows[at + 2u] = lower.z;
  lowerRows[at + 3u] = lower.w;
}

fn keepWeights(at: u32, four: vec4f) {
  let half = vec4h(four);
  weightRows[at] = half.x;
  weightRows[at + 1u] = half.y;
  weightRows[at + 2u] = half.z;
  weightRows[at + 3u] = half.w;
}

fn keepLoaded(lane: u32) {
  for (var i = 0u; i < loads; i++) {
    if (i * 256u + lane < fours) { keepRows(4u * (i * 256u + lane), rowsAhead[i]); }
  }
  keepWeights(8u * lane, weightsAhead[0]);
  keepWeights(8u * lane + 4u, weightsAhead[1]);
}

// What results of row lane / 16 of tile t are multiplied by, once the squares lie in `results`.
fn tileScale(t: u32, lane: u32) -> f32 {
  if (!isNormed) { return 1.0 / f32(raised); }
  var all = 0.0;
  for (var s = 0u; s < slices; s++) {
    let first = 4u * (16u * (s * rowTiles + t) + lane / 16u);
    all += (results[first] + results[first + 1u]) + (results[first + 2u] + results[first + 3u]);
  }
  return scaleOfSquares(all) / f32(raised);
}

// Adds the slices' results that lie in `results`, times a factor, to those of tile t.
fn addSlices(t: u32, factor: f32, lane: u32) {
  workgroupBarrier();
  for (var n = 0u; n < across; n++) {
    var all = 0.0;
    for (var s = 0u; s < slices; s++) { all += results[(s * across + n) * 256u + lane]; }
    found[t * across + n] += factor * all;
  }
  workgroupBarrier();
}

// A result in f32, in place of one that f16 could not give.
fn exactResult(m: u32, p: u32, count: u32, o: u32) -> f32 {
  var all = 0.0;
  for (var k = 0u; k < param.K; k++) {
    let four = weighted(fourAt(m, k - k % 4u), k - k % 4u);
    all += four[k % 4u] * eightWeights(p, count, k, o / 8u)[o / 4u % 2u][o % 4u];
  }
  return all * f32(raised);
}

// The tile of rows from m on and panels from p on, of `count` in all.
fn matrixProduct(m: u32, p: u32, count: u32, lane: u32) {
  let team = subgroupBroadcastFirst(placeOfSubgroup(lane).x);
  let slice = team / across;
  var upper: array<Sum, rowTiles>;
  var lower: array<Sum, rowTiles>;
  loadAhead(m, p, count, 0u, lane);
  for (var start = 0u; start < param.K; start += 16u * slices) {
    keepLoaded(lane);
    workgroupBarrier();
    if (start + 16u * slices < param.K) { loadAhead(m, p, count, start + 16u * slices, lane); }
    let weights = subgroupMatrixLoad<Right, row_major>(&weightRows, team * 256u, 16u);
    for (var t = 0u; t < rowTiles; t++) {
      let at = (slice * rowTiles + t) * 256u;
      let rows = subgroupMatrixLoad<Left, row_major>(&upperRows, at, 16u);
      upper[t] = subgroupMatrixMultiplyAccumulate(rows, weights, upper[t]);
      let rest = subgroupMatrixLoad<Left, row_major>(&lowerRows, at, 16u);
      lower[t] = subgroupMatrixMultiplyAccumulate(rest, weights, lower[t]);
    }
    workgroupBarrier();
  }
  if (any(farthest >= vec4f(mostHalf))) { atomicOr(&beyondHalf, 1u); }
  if (isNormed) {
    for (var i = 0u; i < loads; i++) {
      if (i * 256u + lane < fours) { results[i * 256u + lane] = rowSquares[i]; }
    }
  }
  workgroupBarrier();
  var scales: array<f32, rowTiles>;
  for (var t = 0u; t < rowTiles; t++) { scales[t] = tileScale(t, lane); }
  workgroupBarrier();
  for (var t = 0u; t < rowTiles; t++) {
    subgroupMatrixStore<row_major>(&results, team * 256u, lower[t], 16u);
    addSlices(t, 1.0 / finer, lane);
    subgroupMatrixStore<row_major>(&results, team * 256u, upper[t], 16u);
    addSlices(t, 1.0, lane);
  }
  let isBeyond = atomicLoad(&beyondHalf) != 0u;
  for (var t = 0u; t < rowTiles; t++) {
    for (var n = 0u; n < across; n++) {
      if (isBeyond) {
        found[t * across + n] = exactResult(m + 16u * t + lane / 16u, p + n, count, lane % 16u);
      }
      found[t * across + n] *= scales[t];
    }
  }
}

// First row and first panel of a workgroup's tile, of `count` panels.
fn matrixCorner(group: vec3u, count: u32) -> vec2u {
  let tiles = (count + across - 1u) / across;
  return vec2u(rowOf(group) / tiles * 16u * rowTiles, rowOf(group) % tiles * across);
}

// y = x Wᵀ
fn matrixRows(group: vec3u, lane: u32) {
  let corner = matrixCorner(group, param.P);
  matrixProduct(corner.x, corner.y, param.P, lane);
  for (var t = 0u; t < rowTiles; t++) {
    let m = corner.x + 16u * t + lane / 16u;
    for (var n = 0u; n < across; n++) {
      let o = 16u * (corner.y + n) + lane % 16u;
      if (m < param.M && o < param.N) { y[m * param.N + o] = found[t * across + n]; }
    }
  }
}

// r += x Wᵀ
fn matrixRowsAdd(group: vec3u, lane: u32) {
  let corner = matrixCorner(group, param.P);
  matrixProduct(corner.x, corner.y, param.P, lane);
  for (var t = 0u; t < rowTiles; t++) {
    let m = corner.x + 16u * t + lane / 16u;
    for (var n = 0u; n < across; n++) {
      let o = 16u * (corner.y + n) + lane % 16u;
      if (m < param.M && o < param.N) { r[m * param.N + o] += found[t * across + n]; }
    }
  }
}

// y = silu(g) v, panels of gates and of values in turns.
fn matrixRowsGated(group: vec3u, lane: u32) {
  let corner = matrixCorner(group, 2u * param.P);
  matrixProduct(corner.x, corner.y, 2u * param.P, lane);
  for (var t = 0u; t < rowTiles; t++) {
    let m = corner.x + 16u * t + lane / 16u;
    for (var n = 0u; n < across; n += 2u) {
      let o = 8u * (corner.y + n) + lane % 16u;
      if (m < param.M && o < param.F) {
        y[m * param.F + o] = silu(found[t * across + n]) * found[t * across + n + 1u];
      }
    }
  }
}

const isNormed = false;

@compute @workgroup_size(256)
fn matmulMatrix(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  matrixRows(group, lane);
}

@compute @workgroup_size(256)
fn normMatmulMatrix(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  matrixRows(group, lane);
}

@compute @workgroup_size(256)
fn matmulAddMatrix(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  matrixRowsAdd(group, lane);
}

@compute @workgroup_size(256)
fn matmulSwigluMatrix(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  matrixRowsGated(group, lane);
}

@compute @workgroup_size(256)
fn normMatmulSwigluMatrix(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  matrixRowsGated(group, lane);
}
