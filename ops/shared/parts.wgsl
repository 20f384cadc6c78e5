// The sum of the parts of a gradient, one after the other. Parallel plan: a workgroup takes 256
// columns, a lane each. Bytes: the parts once.

@compute @workgroup_size(256)
fn sumParts(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = rowOf(group);
  if (item >= param.Groups) { return; }
  let across = (param.D + 255u) / 256u;
  let n = item / across;
  let d = (item % across) * 256u + lane;
  if (d >= param.D) { return; }
  var total = 0.0;
  for (var r = 0u; r < param.R; r++) { total += x[(n * param.R + r) * param.D + d]; }
  y[n * param.D + d] = total;
}
