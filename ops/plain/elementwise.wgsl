// Plain ops on each element alone. Parallel plan: a workgroup takes 1024 elements, its lanes side by
// side. Bytes: each input read and the output written once.

const chunk = 1024u;

fn firstOf(group: vec3u) -> u32 {
  return min(rowOf(group) * chunk, param.N);
}

fn endOf(group: vec3u) -> u32 {
  return min(param.N, (rowOf(group) + 1u) * chunk);
}

@compute @workgroup_size(256)
fn add(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstOf(group) + lane; i < endOf(group); i += 256u) { y[i] = a[i] + b[i]; }
}

@compute @workgroup_size(256)
fn sub(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstOf(group) + lane; i < endOf(group); i += 256u) { y[i] = a[i] - b[i]; }
}

@compute @workgroup_size(256)
fn mul(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstOf(group) + lane; i < endOf(group); i += 256u) { y[i] = a[i] * b[i]; }
}

@compute @workgroup_size(256)
fn div(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstOf(group) + lane; i < endOf(group); i += 256u) { y[i] = a[i] / b[i]; }
}

@compute @workgroup_size(256)
fn less(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstOf(group) + lane; i < endOf(group); i += 256u) { y[i] = f32(a[i] < b[i]); }
}

@compute @workgroup_size(256)
fn equal(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstOf(group) + lane; i < endOf(group); i += 256u) { y[i] = f32(a[i] == b[i]); }
}

@compute @workgroup_size(256)
fn exp(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstOf(group) + lane; i < endOf(group); i += 256u) { y[i] = expOf(x[i]); }
}

@compute @workgroup_size(256)
fn log(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstOf(group) + lane; i < endOf(group); i += 256u) { y[i] = logOf(x[i]); }
}

@compute @workgroup_size(256)
fn erfc(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstOf(group) + lane; i < endOf(group); i += 256u) { y[i] = erfcOf(x[i]); }
}

@compute @workgroup_size(256)
fn rsqrt(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstOf(group) + lane; i < endOf(group); i += 256u) { y[i] = 1.0 / sqrt(x[i]); }
}

@compute @workgroup_size(256)
fn affine(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstOf(group) + lane; i < endOf(group); i += 256u) { y[i] = param.scale * x[i] + param.shift; }
}

@compute @workgroup_size(256)
fn select(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i = firstOf(group) + lane; i < endOf(group); i += 256u) {
    if (c[i] != 0.0) { y[i] = a[i]; } else { y[i] = b[i]; }
  }
}
