// Products with quantised weights: those of matmul.wgsl and matmul_tile.wgsl over widened weights, and
// over a rounded row where the GPU multiplies bytes four at a time. How: quantised_row.wgsl,
// quantised_dot.wgsl and quantised_tile.wgsl.

// wide: w
// using: quantised_row matmul_row
// const width: P < 512 ? 128 : 64
// groups: ceil(P / panels) * ceil(M / rows)
@compute @workgroup_size(width)
fn matmulQuantised(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

// instead of matmulQuantised: M === 1
// with: packed-dot
// wide: w
// using: quantised_dot quantised_row matmul_row
// const width: P < 512 ? 128 : 64
// groups: ceil(P / panels) * ceil(M / rows)
@compute @workgroup_size(width)
fn matmulQuantisedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

// instead of matmulQuantised: M > 8
// wide: w
// using: quantised_tile matmul_tile
// groups: ceil(P / quads / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn matmulQuantisedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProduct(group, lane);
}

// wide: w
// using: quantised_row matmul_norm matmul_row
// const width: P < 512 ? 128 : 64
// groups: ceil(P / panels) * ceil(M / rows)
@compute @workgroup_size(width)
fn normMatmulQuantised(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

// instead of normMatmulQuantised: M === 1
// with: packed-dot
// wide: w
// using: quantised_dot quantised_row matmul_norm matmul_row
// const width: P < 512 ? 128 : 64
// groups: ceil(P / panels) * ceil(M / rows)
@compute @workgroup_size(width)
fn normMatmulQuantisedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

// instead of normMatmulQuantised: M > 8
// wide: w
// using: quantised_tile matmul_norm matmul_tile
// groups: ceil(P / quads / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn normMatmulQuantisedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProduct(group, lane);
}

// wide: w
// using: quantised_row matmul_row
// const width: P < 512 ? 128 : 64
// groups: ceil(P / panels) * ceil(M / rows)
@compute @workgroup_size(width)
fn matmulAddQuantised(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductAdd(group, lane);
}

// instead of matmulAddQuantised: M === 1
// with: packed-dot
// wide: w
// using: quantised_dot quantised_row matmul_row
// const width: P < 512 ? 128 : 64
// groups: ceil(P / panels) * ceil(M / rows)
@compute @workgroup_size(width)
fn matmulAddQuantisedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductAdd(group, lane);
}

// instead of matmulAddQuantised: M > 8
// wide: w
// using: quantised_tile matmul_tile
// groups: ceil(P / quads / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn matmulAddQuantisedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductAdd(group, lane);
}

// wide: w
// using: quantised_row matmul_row
// const width: P < 512 ? 128 : 64
// const gated: 1
// groups: P * ceil(M / rows)
@compute @workgroup_size(width)
fn matmulSwigluQuantised(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductGated(group, lane);
}

// instead of matmulSwigluQuantised: M === 1
// with: packed-dot
// wide: w
// using: quantised_dot quantised_row matmul_row
// const width: P < 512 ? 128 : 64
// const gated: 1
// groups: P * ceil(M / rows)
@compute @workgroup_size(width)
fn matmulSwigluQuantisedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductGated(group, lane);
}

// instead of matmulSwigluQuantised: M > 8
// wide: w
// using: quantised_tile matmul_tile
// const gated: 1
// groups: ceil(P / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn matmulSwigluQuantisedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}

// wide: w
// using: quantised_row matmul_norm matmul_row
// const width: P < 512 ? 128 : 64
// const gated: 1
// groups: P * ceil(M / rows)
@compute @workgroup_size(width)
fn normMatmulSwigluQuantised(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductGated(group, lane);
}

// instead of normMatmulSwigluQuantised: M === 1
// with: packed-dot
// wide: w
// using: quantised_dot quantised_row matmul_norm matmul_row
// const width: P < 512 ? 128 : 64
// const gated: 1
// groups: P * ceil(M / rows)
@compute @workgroup_size(width)
fn normMatmulSwigluQuantisedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductGated(group, lane);
}

// instead of normMatmulSwigluQuantised: M > 8
// wide: w
// using: quantised_tile matmul_norm matmul_tile
// const gated: 1
// groups: ceil(P / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn normMatmulSwigluQuantisedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}
