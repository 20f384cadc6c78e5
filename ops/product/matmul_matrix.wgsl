// The tiles of matmul_tile.wgsl for weights in f16 on units that multiply matrices of 16 by 16: f16
// factors, f32 sums. A number of x is the sum of two in f16, the second times 2048, so that nothing of
// x is lost. Parallel plan: a workgroup 32 rows by eight panels, a subgroup of 32 lanes a panel. No
// hardware has run this yet: it has been compiled only.

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

const finer = 2048.0;

// 16 columns of 32 rows, in two parts; 16 weights of each of 128 outputs.
var<workgroup> upperRows: array<f16, 512>;
var<workgroup> lowerRows: array<f16, 512>;
var<workgroup> weightRows: array<f16, 2048>;

// A result of each subgroup.
var<workgroup> results: array<f32, 2048>;

fn keepFour(lane: u32, four: vec4f) {
  for (var c = 0u; c < 4u; c++) { results[4u * lane + c] = four[c]; }
}

fn keptNumber(lane: u32, c: u32) -> f32 {
  return results[4u * lane + c];
}

// Columns from `start` on and weights from `start` on, into workgroup memory.
fn loadStep(m: u32, p: u32, count: u32, start: u32, lane: u32) {
  if (lane < 128u) {
    let four = tileRows(m + 4u * (lane / 16u), start + lane % 16u);
    for (var c = 0u; c < 4u; c++) {
      let at = (4u * (lane / 16u) + c) * 16u + lane % 16u;
      let upper = f16(four[c]);
      upperRows[at] = upper;
      lowerRows[at] = f16((four[c] - f32(upper)) * finer);
    }
  }
  for (var i = lane; i < 512u; i += 256u) {
    let k = i / 4u % 16u;
    let four = tileWeights(p + i / 64u, count, start + k, i % 4u);
    for (var c = 0u; c < 4u; c++) {
      weightRows[k * 128u + i / 64u * 16u + i % 4u * 4u + c] = f16(four[c]);
    }
  }
}

// Adds the subgroups' results for 16 rows, times a factor, to those of the lanes that have the rows.
fn addResults(rows: u32, factor: f32, lane: u32) {
  workgroupBarrier();
  if (lane / 128u == rows) {
    for (var i = 0u; i < 4u; i++) {
      let row = (lane / 16u * 2u + i / 2u) % 16u;
      let column = 4u * outputQuad(i % 2u, lane);
      let at = column / 16u * 256u + row * 16u + column % 16u;
      let four = vec4f(results[at], results[at + 1u], results[at + 2u], results[at + 3u]);
      tile[i] += factor * four;
    }
  }
  workgroupBarrier();
}

fn tileProduct(m: u32, p: u32, count: u32, lane: u32) {
  let team = subgroupBroadcastFirst(placeOfSubgroup(lane).x);
  var upper0: Sum;
  var upper1: Sum;
  var lower0: Sum;
  var lower1: Sum;
  for (var start = 0u; start < param.K; start += 16u) {
    loadStep(m, p, count, start, lane);
    workgroupBarrier();
    let weights = subgroupMatrixLoad<Right, row_major>(&weightRows, team * 16u, 128u);
    let a0 = subgroupMatrixLoad<Left, row_major>(&upperRows, 0u, 16u);
    let a1 = subgroupMatrixLoad<Left, row_major>(&upperRows, 256u, 16u);
    let b0 = subgroupMatrixLoad<Left, row_major>(&lowerRows, 0u, 16u);
    let b1 = subgroupMatrixLoad<Left, row_major>(&lowerRows, 256u, 16u);
    upper0 = subgroupMatrixMultiplyAccumulate(a0, weights, upper0);
    upper1 = subgroupMatrixMultiplyAccumulate(a1, weights, upper1);
    lower0 = subgroupMatrixMultiplyAccumulate(b0, weights, lower0);
    lower1 = subgroupMatrixMultiplyAccumulate(b1, weights, lower1);
    workgroupBarrier();
  }
  subgroupMatrixStore<row_major>(&results, team * 256u, upper0, 16u);
  addResults(0u, 1.0, lane);
  subgroupMatrixStore<row_major>(&results, team * 256u, lower0, 16u);
  addResults(0u, 1.0 / finer, lane);
  subgroupMatrixStore<row_major>(&results, team * 256u, upper1, 16u);
  addResults(1u, 1.0, lane);
  subgroupMatrixStore<row_major>(&results, team * 256u, lower1, 16u);
  addResults(1u, 1.0 / finer, lane);
  scaleTile(lane);
}

@compute @workgroup_size(256)
fn matmulMatrix(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  tileRowsProduct(group, lane);
}

@compute @workgroup_size(256)
fn normMatmulMatrix(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProduct(group, lane);
}

@compute @workgroup_size(256)
fn matmulAddMatrix(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductAdd(group, lane);
}

@compute @workgroup_size(256)
fn matmulSwigluMatrix(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}

@compute @workgroup_size(256)
fn normMatmulSwigluMatrix(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}
