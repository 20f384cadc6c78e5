// y = x rstd w, rstd = (mean(x^2) + eps)^-1/2, alone and with the residual add before it. Parallel
// plan: a workgroup a row, its lanes side by side. Bytes: each tensor once, x once more from cache.

fn rstdOf(squares: f32) -> f32 {
  return 1.0 / sqrt(squares / f32(param.D) + param.eps);
}

@compute @workgroup_size(256)
fn rmsNorm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  let first = n * param.D;
  var part = 0.0;
  for (var d = lane; d < param.D; d += 256u) { part += x[first + d] * x[first + d]; }
  let scale = rstdOf(groupSum(part, lane));
  for (var d = lane; d < param.D; d += 256u) { y[first + d] = x[first + d] * scale * w[d]; }
  if (lane == 0u) { rstd[n] = scale; }
}

@compute @workgroup_size(256)
fn addRmsNorm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  let first = n * param.D;
  var part = 0.0;
  for (var i = lane; i < param.D; i += 256u) {
    let value = x[first + i] + d[first + i];
    sum[first + i] = value;
    part += value * value;
  }
  let scale = rstdOf(groupSum(part, lane));
  for (var i = lane; i < param.D; i += 256u) {
    y[first + i] = (x[first + i] + d[first + i]) * scale * w[i];
  }
  if (lane == 0u) { rstd[n] = scale; }
}
