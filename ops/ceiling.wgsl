// What a GPU can at most: reading memory, and multiplying and adding. Parallel plan: a workgroup a
// part; a lane for each lane of the CPU's registers. Bytes: each part once, front to back.

@compute @workgroup_size(256)
fn streamSum(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  var part = 0.0;
  for (var c = lane; c < param.C; c += 256u) { part += x_get(r * param.C + c); }
  let total = groupSum(part, lane);
  if (lane == 0u) { y[r] = total; }
}

@compute @workgroup_size(256)
fn multiplyAdd(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  var value = 0.0;
  if (lane < select(48u, 80u, param.Wide == 1u)) {
    value = x[r];
    for (var i = 0u; i < param.Count; i++) { value = fma(value, 0.5, x[r]); }
  }
  let total = groupSum(value, lane);
  if (lane == 0u) { y[r] = total; }
}
