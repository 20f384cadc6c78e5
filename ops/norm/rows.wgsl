// The steps of a naive RMSNorm. Parallel plan: a workgroup a row. Bytes: each side once.

@compute @workgroup_size(256)
fn meanRows(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  var part = 0.0;
  for (var d = lane; d < param.D; d += 256u) { part += x[n * param.D + d]; }
  let total = groupSum(part, lane);
  if (lane == 0u) { y[n] = total / f32(param.D); }
}

@compute @workgroup_size(256)
fn scaleRows(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  for (var d = lane; d < param.D; d += 256u) { y[n * param.D + d] = x[n * param.D + d] * r[n]; }
}

@compute @workgroup_size(256)
fn scaleColumns(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  for (var d = lane; d < param.D; d += 256u) { y[n * param.D + d] = x[n * param.D + d] * w[d]; }
}
