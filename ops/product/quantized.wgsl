// Products with quantized weights: those of matmul.wgsl and matmul_tile.wgsl over widened weights, and,
// but for training (dequantized.ts), over rounded rows where the GPU multiplies bytes four at a time. How:
// quantized_row.wgsl and quantized_tile.wgsl, quantized_dot.wgsl and quantized_dot_tile.wgsl.

@compute @workgroup_size(width)
fn matmulQuantized(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

@compute @workgroup_size(width)
fn matmulQuantizedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

@compute @workgroup_size(256)
fn matmulQuantizedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProduct(group, lane);
}

@compute @workgroup_size(256)
fn matmulQuantizedDotTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProduct(group, lane);
}

@compute @workgroup_size(width)
fn normMatmulQuantized(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

@compute @workgroup_size(width)
fn normMatmulQuantizedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

@compute @workgroup_size(256)
fn normMatmulQuantizedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProduct(group, lane);
}

@compute @workgroup_size(256)
fn normMatmulQuantizedDotTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProduct(group, lane);
}

@compute @workgroup_size(width)
fn matmulAddQuantized(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductAdd(group, lane);
}

@compute @workgroup_size(width)
fn matmulAddQuantizedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductAdd(group, lane);
}

@compute @workgroup_size(256)
fn matmulAddQuantizedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductAdd(group, lane);
}

@compute @workgroup_size(256)
fn matmulAddQuantizedDotTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductAdd(group, lane);
}

@compute @workgroup_size(width)
fn matmulSwigluQuantized(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductGated(group, lane);
}

@compute @workgroup_size(width)
fn matmulSwigluQuantizedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductGated(group, lane);
}

@compute @workgroup_size(256)
fn matmulSwigluQuantizedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}

@compute @workgroup_size(256)
fn matmulSwigluQuantizedDotTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}

@compute @workgroup_size(width)
fn normMatmulSwigluQuantized(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductGated(group, lane);
}

@compute @workgroup_size(width)
fn normMatmulSwigluQuantizedDot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductGated(group, lane);
}

@compute @workgroup_size(256)
fn normMatmulSwigluQuantizedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}

@compute @workgroup_size(256)
fn normMatmulSwigluQuantizedDotTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}

@compute @workgroup_size(width)
fn matmulDequantized(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProduct(group, lane);
}

@compute @workgroup_size(256)
fn matmulDequantizedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProduct(group, lane);
}

@compute @workgroup_size(width)
fn matmulAddDequantized(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  rowProductAdd(group, lane);
}

@compute @workgroup_size(256)
fn matmulAddDequantizedTile(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductAdd(group, lane);
}
