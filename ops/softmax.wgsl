// y = exp(x - max x) / sum. Parallel plan: a workgroup a row. Bytes: x from memory once, twice more
// from cache, y once.

@compute @workgroup_size(256)
fn softmax(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  let first = n * param.D;
  var part = lowest;
  for (var d = lane; d < param.D; d += 256u) { part = max(part, x[first + d]); }
  let most = groupMax(part, lane);
  part = 0.0;
  for (var d = lane; d < param.D; d += 256u) { part += expOf(x[first + d] - most); }
  let scale = 1.0 / groupSum(part, lane);
  for (var d = lane; d < param.D; d += 256u) { y[first + d] = expOf(x[first + d] - most) * scale; }
}
