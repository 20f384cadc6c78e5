// The tiles of matmul_tile.wgsl for weights in f16, which stay so in workgroup memory: exact, and half
// the bytes that each step reads there. Sums in f32.

alias Kept = vec4h;

// instead of matmul: M > 8 && wType === 1
// with: shader-f16
// using: matmul_half matmul_tile
// groups: ceil(P / quads / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn matmulHalves(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  tileRowsProduct(group, lane);
}

// instead of normMatmul: M > 8 && wType === 1
// with: shader-f16
// using: matmul_half matmul_norm matmul_tile
// groups: ceil(P / quads / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn normMatmulHalves(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProduct(group, lane);
}

// instead of matmulAdd: M > 8 && wType === 1
// with: shader-f16
// using: matmul_half matmul_tile
// groups: ceil(P / quads / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn matmulAddHalves(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductAdd(group, lane);
}

// instead of matmulSwiglu: M > 8 && wType === 1
// with: shader-f16
// using: matmul_half matmul_tile
// const gated: 1
// groups: ceil(P / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn matmulSwigluHalves(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}

// instead of normMatmulSwiglu: M > 8 && wType === 1
// with: shader-f16
// using: matmul_half matmul_norm matmul_tile
// const gated: 1
// groups: ceil(P / 4) * ceil(M / tall / 16)
@compute @workgroup_size(256)
fn normMatmulSwigluHalves(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}
