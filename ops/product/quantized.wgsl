// Products with quantized weights: those of matmul.wgsl and matmul_tile.wgsl over widened weights, and
// over a rounded row where the GPU multiplies bytes four at a time. How: quantized_row.wgsl,
// quantized_dot.wgsl and quantized_tile.wgsl.

// wide: w
// using: quantized_row matmul_row
// const width: P < 512 ? 128 : 64
// groups: ceil(P / panels) * ceil(M / rows)
@compute @workgroup_size(width)
fn matmulQuantized(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

// instead of matmulQuantized: M === 1
// with: packed-dot
// wide: w
// using: quantized_dot quantized_row matmul_row
// const width: P < 512 ? 128 : 64
// groups: ceil(P / panels) * ceil(M / rows)
@compute @workgroup_size(width)
fn matmulQuantizedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

// instead of matmulQuantized: M > 8
// wide: w
// using: quantized_tile matmul_tile
// groups: ceil(P / quads / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn matmulQuantizedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProduct(group, lane);
}

// wide: w
// using: quantized_row matmul_norm matmul_row
// const width: P < 512 ? 128 : 64
// groups: ceil(P / panels) * ceil(M / rows)
@compute @workgroup_size(width)
fn normMatmulQuantized(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

// instead of normMatmulQuantized: M === 1
// with: packed-dot
// wide: w
// using: quantized_dot quantized_row matmul_norm matmul_row
// const width: P < 512 ? 128 : 64
// groups: ceil(P / panels) * ceil(M / rows)
@compute @workgroup_size(width)
fn normMatmulQuantizedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

// instead of normMatmulQuantized: M > 8
// wide: w
// using: quantized_tile matmul_norm matmul_tile
// groups: ceil(P / quads / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn normMatmulQuantizedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProduct(group, lane);
}

// wide: w
// using: quantized_row matmul_row
// const width: P < 512 ? 128 : 64
// groups: ceil(P / panels) * ceil(M / rows)
@compute @workgroup_size(width)
fn matmulAddQuantized(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductAdd(group, lane);
}

// instead of matmulAddQuantized: M === 1
// with: packed-dot
// wide: w
// using: quantized_dot quantized_row matmul_row
// const width: P < 512 ? 128 : 64
// groups: ceil(P / panels) * ceil(M / rows)
@compute @workgroup_size(width)
fn matmulAddQuantizedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductAdd(group, lane);
}

// instead of matmulAddQuantized: M > 8
// wide: w
// using: quantized_tile matmul_tile
// groups: ceil(P / quads / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn matmulAddQuantizedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductAdd(group, lane);
}

// wide: w
// using: quantized_row matmul_row
// const width: P < 512 ? 128 : 64
// const gated: 1
// groups: P * ceil(M / rows)
@compute @workgroup_size(width)
fn matmulSwigluQuantized(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductGated(group, lane);
}

// instead of matmulSwigluQuantized: M === 1
// with: packed-dot
// wide: w
// using: quantized_dot quantized_row matmul_row
// const width: P < 512 ? 128 : 64
// const gated: 1
// groups: P * ceil(M / rows)
@compute @workgroup_size(width)
fn matmulSwigluQuantizedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductGated(group, lane);
}

// instead of matmulSwigluQuantized: M > 8
// wide: w
// using: quantized_tile matmul_tile
// const gated: 1
// groups: ceil(P / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn matmulSwigluQuantizedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}

// wide: w
// using: quantized_row matmul_norm matmul_row
// const width: P < 512 ? 128 : 64
// const gated: 1
// groups: P * ceil(M / rows)
@compute @workgroup_size(width)
fn normMatmulSwigluQuantized(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductGated(group, lane);
}

// instead of normMatmulSwigluQuantized: M === 1
// with: packed-dot
// wide: w
// using: quantized_dot quantized_row matmul_norm matmul_row
// const width: P < 512 ? 128 : 64
// const gated: 1
// groups: P * ceil(M / rows)
@compute @workgroup_size(width)
fn normMatmulSwigluQuantizedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductGated(group, lane);
}

// instead of normMatmulSwigluQuantized: M > 8
// wide: w
// using: quantized_tile matmul_norm matmul_tile
// const gated: 1
// groups: ceil(P / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn normMatmulSwigluQuantizedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}
