// Products with weights in panels, one row at a time: y = x W^T, with the norm before it, the
// residual add or the activation after it. Parallel plan: a workgroup a panel and row; four lanes
// take the sixteen outputs of one k, 64 of them in turn, so that the panel is read front to back.
// Bytes: the weights once for a row. Many rows: matmul_tile.wgsl.

var<workgroup> partial: array<vec4f, 256>;

// Sum over the 64 lanes of each quarter of a panel, in all lanes of the quarter.
fn quarterSum(value: vec4f, lane: u32) -> vec4f {
  partial[lane] = value;
  workgroupBarrier();
  for (var span = 128u; span > 2u; span >>= 1u) {
    if (lane < span) { partial[lane] += partial[lane + span]; }
    workgroupBarrier();
  }
  let total = partial[lane % 4u];
  workgroupBarrier();
  return total;
}

// Four outputs of panel p for row m: each lane takes every 64th weight of its quarter.
fn rowProduct(m: u32, p: u32, lane: u32) -> vec4f {
  var total = vec4f();
  for (var k = lane / 4u; k < param.K; k += 64u) {
    total += x[m * param.K + k] * w_get((p * param.K + k) * 4u + lane % 4u);
  }
  return quarterSum(total, lane);
}

// The same of the normalised row: its squares are added up as it is read.
fn normRowProduct(m: u32, p: u32, lane: u32) -> vec4f {
  var total = vec4f();
  var squares = 0.0;
  for (var k = lane / 4u; k < param.K; k += 64u) {
    let value = x[m * param.K + k];
    squares += value * value;
    total += value * n[k] * w_get((p * param.K + k) * 4u + lane % 4u);
  }
  let all = quarterSum(vec4f(squares), lane).x;
  return quarterSum(total, lane) / sqrt(all / f32(param.K) + param.eps);
}

// groups: P * M
@compute @workgroup_size(256)
fn matmul(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let p = rowOf(group) % param.P;
  let m = rowOf(group) / param.P;
  if (m >= param.M) { return; }
  let total = rowProduct(m, p, lane);
  if (lane >= 4u) { return; }
  for (var c = 0u; c < 4u; c++) {
    let o = 16u * p + 4u * lane + c;
    if (o < param.N) { y[m * param.N + o] = total[c]; }
  }
}

// groups: P * M
@compute @workgroup_size(256)
fn normMatmul(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let p = rowOf(group) % param.P;
  let m = rowOf(group) / param.P;
  if (m >= param.M) { return; }
  let total = normRowProduct(m, p, lane);
  if (lane >= 4u) { return; }
  for (var c = 0u; c < 4u; c++) {
    let o = 16u * p + 4u * lane + c;
    if (o < param.N) { y[m * param.N + o] = total[c]; }
  }
}

// groups: P * M
@compute @workgroup_size(256)
fn matmulAdd(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let p = rowOf(group) % param.P;
  let m = rowOf(group) / param.P;
  if (m >= param.M) { return; }
  let total = rowProduct(m, p, lane);
  if (lane >= 4u) { return; }
  for (var c = 0u; c < 4u; c++) {
    let o = 16u * p + 4u * lane + c;
    if (o < param.N) { r[m * param.N + o] += total[c]; }
  }
}

// groups: P * M
@compute @workgroup_size(256)
fn matmulSwiglu(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let p = rowOf(group) % param.P;
  let m = rowOf(group) / param.P;
  if (m >= param.M) { return; }
  let gate = rowProduct(m, 2u * p, lane);
  let value = rowProduct(m, 2u * p + 1u, lane);
  if (lane >= 4u) { return; }
  for (var c = 0u; c < 4u; c++) {
    let o = 16u * p + 4u * lane + c;
    if (o < param.F) { y[m * param.F + o] = silu(gate[c]) * value[c]; }
  }
}

// groups: P * M
@compute @workgroup_size(256)
fn normMatmulSwiglu(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let p = rowOf(group) % param.P;
  let m = rowOf(group) / param.P;
  if (m >= param.M) { return; }
  let gate = normRowProduct(m, 2u * p, lane);
  let value = normRowProduct(m, 2u * p + 1u, lane);
  if (lane >= 4u) { return; }
  for (var c = 0u; c < 4u; c++) {
    let o = 16u * p + 4u * lane + c;
    if (o < param.F) { y[m * param.F + o] = silu(gate[c]) * value[c]; }
  }
}
