// What a GPU can at most: reading memory, and multiplying and adding. Parallel plan: a workgroup a
// part; a lane a register of the CPU's. Bytes: each part once, front to back.

@compute @workgroup_size(256)
fn streamSum(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  var part = 0.0;
  for (var c = lane; c < param.C; c += 256u) { part += x[r * param.C + c]; }
  let total = groupSum(part, lane);
  if (lane == 0u) { y[r] = total; }
}
