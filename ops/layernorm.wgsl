// y = (x - mean) (var + eps)^-1/2 w + b. Parallel plan: a workgroup a row. Bytes: x from memory once,
// twice more from cache, y once.

@compute @workgroup_size(256)
fn layerNorm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  let first = n * param.D;
  var part = 0.0;
  for (var d = lane; d < param.D; d += 256u) { part += x[first + d]; }
  let mean = groupSum(part, lane) / f32(param.D);
  part = 0.0;
  for (var d = lane; d < param.D; d += 256u) {
    let centred = x[first + d] - mean;
    part += centred * centred;
  }
  let scale = 1.0 / sqrt(groupSum(part, lane) / f32(param.D) + param.eps);
  for (var d = lane; d < param.D; d += 256u) {
    y[first + d] = (x[first + d] - mean) * scale * w[d] + b[d];
  }
}
