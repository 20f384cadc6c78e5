// The products of matmul.wgsl for many rows. Parallel plan: a workgroup has a tile of 64 rows by
// four panels and walks k by sixteens, with that much of both sides in workgroup memory; a lane has
// four rows by four outputs in registers. Bytes: the weights once for 64 rows, x once for 4 panels.

const tileRows = 64u;

// 16 columns of 64 rows of x, a column after the other with one place between.
var<workgroup> xTile: array<f32, 1040>;

var<workgroup> wTile: array<vec4f, 256>;

var<workgroup> squaresOf: array<f32, 256>;

// Sums of four rows by four outputs that a lane has.
var<private> sums: array<vec4f, 4>;

// Columns k … k + 15 of the rows from m on: lane l has row l / 4.
fn loadRows(m: u32, k: u32, lane: u32) {
  let row = m + lane / 4u;
  for (var c = 0u; c < 4u; c++) {
    let at = k + (lane % 4u) * 4u + c;
    var value = 0.0;
    if (row < param.M && at < param.K) { value = x[row * param.K + at]; }
    xTile[(at - k) * 65u + lane / 4u] = value;
  }
}

// The same times the norm's weight; returns what the lane adds to its row's sum of squares.
fn loadNormRows(m: u32, k: u32, lane: u32) -> f32 {
  let row = m + lane / 4u;
  var squares = 0.0;
  for (var c = 0u; c < 4u; c++) {
    let at = k + (lane % 4u) * 4u + c;
    var value = 0.0;
    if (row < param.M && at < param.K) { value = x[row * param.K + at]; }
    squares += value * value;
    xTile[(at - k) * 65u + lane / 4u] = value * n[min(at, param.K - 1u)];
  }
  return squares;
}

// Rows k … k + 15 of four panels from p on, of `panels` in all.
fn loadPanels(p: u32, panels: u32, k: u32, lane: u32) {
  let panel = p + (lane % 16u) / 4u;
  let at = k + lane / 16u;
  var value = vec4f();
  if (panel < panels && at < param.K) {
    value = w_get((panel * param.K + at) * 4u + lane % 4u);
  }
  wTile[lane] = value;
}

fn multiplyTiles(lane: u32) {
  let row = (lane / 16u) * 4u;
  for (var k = 0u; k < 16u; k++) {
    let weights = wTile[k * 16u + lane % 16u];
    for (var i = 0u; i < 4u; i++) { sums[i] += xTile[k * 65u + row + i] * weights; }
  }
}

// The tile of 64 rows from m on and four panels from p on.
fn tileProduct(m: u32, p: u32, panels: u32, lane: u32) {
  for (var k = 0u; k < param.K; k += 16u) {
    loadRows(m, k, lane);
    loadPanels(p, panels, k, lane);
    workgroupBarrier();
    multiplyTiles(lane);
    workgroupBarrier();
  }
}

fn normTileProduct(m: u32, p: u32, panels: u32, lane: u32) {
  var squares = 0.0;
  for (var k = 0u; k < param.K; k += 16u) {
    squares += loadNormRows(m, k, lane);
    loadPanels(p, panels, k, lane);
    workgroupBarrier();
    multiplyTiles(lane);
    workgroupBarrier();
  }
  squaresOf[lane] = squares;
  workgroupBarrier();
  for (var i = 0u; i < 4u; i++) {
    let at = ((lane / 16u) * 4u + i) * 4u;
    let all = squaresOf[at] + squaresOf[at + 1u] + squaresOf[at + 2u] + squaresOf[at + 3u];
    sums[i] /= sqrt(all / f32(param.K) + param.eps);
  }
}

// sums becomes silu(g) v in the lanes of even panels, whose neighbours have v.
fn gateSums(lane: u32) {
  for (var i = 0u; i < 4u; i++) {
    workgroupBarrier();
    wTile[lane] = sums[i];
    workgroupBarrier();
    let value = wTile[min(lane + 4u, 255u)];
    for (var c = 0u; c < 4u; c++) { sums[i][c] = silu(sums[i][c]) * value[c]; }
  }
}

// instead of matmul: M > 4
// groups: ceil(P / 4) * ceil(M / 64)
@compute @workgroup_size(256)
fn matmulTile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let across = (param.P + 3u) / 4u;
  let p = 4u * (rowOf(group) % across);
  let m = (rowOf(group) / across) * tileRows;
  tileProduct(m, p, param.P, lane);
  let o = 16u * p + 4u * (lane % 16u);
  for (var i = 0u; i < 4u; i++) {
    let row = m + (lane / 16u) * 4u + i;
    if (row >= param.M) { return; }
    for (var c = 0u; c < 4u; c++) {
      if (o + c < param.N) { y[row * param.N + o + c] = sums[i][c]; }
    }
  }
}

// instead of normMatmul: M > 4
// groups: ceil(P / 4) * ceil(M / 64)
@compute @workgroup_size(256)
fn normMatmulTile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let across = (param.P + 3u) / 4u;
  let p = 4u * (rowOf(group) % across);
  let m = (rowOf(group) / across) * tileRows;
  normTileProduct(m, p, param.P, lane);
  let o = 16u * p + 4u * (lane % 16u);
  for (var i = 0u; i < 4u; i++) {
    let row = m + (lane / 16u) * 4u + i;
    if (row >= param.M) { return; }
    for (var c = 0u; c < 4u; c++) {
      if (o + c < param.N) { y[row * param.N + o + c] = sums[i][c]; }
    }
  }
}

// instead of matmulAdd: M > 4
// groups: ceil(P / 4) * ceil(M / 64)
@compute @workgroup_size(256)
fn matmulAddTile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let across = (param.P + 3u) / 4u;
  let p = 4u * (rowOf(group) % across);
  let m = (rowOf(group) / across) * tileRows;
  tileProduct(m, p, param.P, lane);
  let o = 16u * p + 4u * (lane % 16u);
  for (var i = 0u; i < 4u; i++) {
    let row = m + (lane / 16u) * 4u + i;
    if (row >= param.M) { return; }
    for (var c = 0u; c < 4u; c++) {
      if (o + c < param.N) { r[row * param.N + o + c] += sums[i][c]; }
    }
  }
}

// instead of matmulSwiglu: M > 4
// groups: ceil(P / 2) * ceil(M / 64)
@compute @workgroup_size(256)
fn matmulSwigluTile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let across = (param.P + 1u) / 2u;
  let p = 4u * (rowOf(group) % across);
  let m = (rowOf(group) / across) * tileRows;
  tileProduct(m, p, 2u * param.P, lane);
  gateSums(lane);
  let panel = p + (lane % 16u) / 4u;
  if (panel % 2u == 1u) { return; }
  let o = 8u * panel + 4u * (lane % 4u);
  for (var i = 0u; i < 4u; i++) {
    let row = m + (lane / 16u) * 4u + i;
    if (row >= param.M) { return; }
    for (var c = 0u; c < 4u; c++) {
      if (o + c < param.F) { y[row * param.F + o + c] = sums[i][c]; }
    }
  }
}

// instead of normMatmulSwiglu: M > 4
// groups: ceil(P / 2) * ceil(M / 64)
@compute @workgroup_size(256)
fn normMatmulSwigluTile(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let across = (param.P + 1u) / 2u;
  let p = 4u * (rowOf(group) % across);
  let m = (rowOf(group) / across) * tileRows;
  normTileProduct(m, p, 2u * param.P, lane);
  gateSums(lane);
  let panel = p + (lane % 16u) / 4u;
  if (panel % 2u == 1u) { return; }
  let o = 8u * panel + 4u * (lane % 4u);
  for (var i = 0u; i < 4u; i++) {
    let row = m + (lane / 16u) * 4u + i;
    if (row >= param.M) { return; }
    for (var c = 0u; c < 4u; c++) {
      if (o + c < param.F) { y[row * param.F + o + c] = sums[i][c]; }
    }
  }
}
