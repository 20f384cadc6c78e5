// Rows of the tied embedding, kept in panels. Parallel plan: a workgroup an id. Bytes: sixteen times
// the rows, since the numbers of a row lie 16 apart.

@compute @workgroup_size(256)
fn embed(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  let id = u32(ids[n]);
  let first = (id / 16u) * param.D * 4u + (id % 16u) / 4u;
  for (var d = lane; d < param.D; d += 256u) {
    x[n * param.D + d] = w_get(first + 4u * d)[id & 3u];
  }
}
