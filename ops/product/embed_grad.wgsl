// sum + the rows of dx at their ids, in the order of the ids. Parallel plan: a lane a column, which
// goes through all ids, so that equal ids are added one after the other. Bytes: dx once, 8 per sum.

@compute @workgroup_size(64)
fn embedGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let d = rowOf(group) * 64u + lane;
  if (d >= param.D) { return; }
  for (var n = 0u; n < param.N; n++) {
    let id = u32(ids[n]);
    if (id == param.Padding) { continue; }
    let at = ((id / 16u) * param.D + d) * 4u + (id % 16u) / 4u;
    var four = sum[at];
    four[id % 4u] += dx[n * param.D + d];
    sum[at] = four;
  }
}
