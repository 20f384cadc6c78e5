// Products of up to eight rows with weights in panels: y = x W^T, with the norm before it, the
// residual add or the activation after it. How: matmul_row.wgsl. More rows: matmul_tile.wgsl.

@compute @workgroup_size(width)
fn matmul(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  rowProduct(group, lane);
}

@compute @workgroup_size(width)
fn normMatmul(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  rowProduct(group, lane);
}

@compute @workgroup_size(width)
fn matmulAdd(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  rowProductAdd(group, lane);
}

@compute @workgroup_size(width)
fn matmulSwiglu(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  rowProductGated(group, lane);
}

@compute @workgroup_size(width)
fn normMatmulSwiglu(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  rowProductGated(group, lane);
}
