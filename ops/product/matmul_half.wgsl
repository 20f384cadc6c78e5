// The tiles of matmul_tile.wgsl for weights in f16, which stay so in workgroup memory: exact, and half
// the bytes that each step reads there. Sums in f32.

alias Kept = vec4h;

@compute @workgroup_size(256)
fn matmulHalves(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  tileRowsProduct(group, lane);
}

@compute @workgroup_size(256)
fn normMatmulHalves(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProduct(group, lane);
}

@compute @workgroup_size(256)
fn matmulAddHalves(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductAdd(group, lane);
}

@compute @workgroup_size(256)
fn matmulSwigluHalves(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}

@compute @workgroup_size(256)
fn normMatmulSwigluHalves(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsProductGated(group, lane);
}
