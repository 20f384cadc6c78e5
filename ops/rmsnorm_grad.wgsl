// With u = x·rstd and g = dy·w: dx = rstd·(g − u·mean(g·u)), and dw = Σ dy·u in blocks of 16 rows; the
// form with a residual adds its cotangent to dx. Parallel plan: a workgroup a block of 16 rows, its
// lanes over the columns. Bytes: x and dy twice, dx once.

@compute @workgroup_size(256)
fn rmsNormGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  let end = min(param.N, 16u * r + 16u);
  for (var n = 16u * r; n < end; n++) {
    var part = 0.0;
    for (var d = lane; d < param.D; d += 256u) {
      part += dy[n * param.D + d] * w[d] * x[n * param.D + d];
    }
    let mean = groupSum(part, lane) * rstd[n] / f32(param.D);
    for (var d = lane; d < param.D; d += 256u) {
      let i = n * param.D + d;
      dx[i] = rstd[n] * (dy[i] * w[d] - x[i] * rstd[n] * mean);
    }
  }
  for (var d = lane; d < param.D; d += 256u) {
    var total = 0.0;
    for (var n = 16u * r; n < end; n++) { total += dy[n * param.D + d] * x[n * param.D + d] * rstd[n]; }
    dwParts[r * param.D + d] = total;
  }
}

@compute @workgroup_size(256)
fn addRmsNormGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  let end = min(param.N, 16u * r + 16u);
  for (var n = 16u * r; n < end; n++) {
    var part = 0.0;
    for (var d = lane; d < param.D; d += 256u) {
      part += dy[n * param.D + d] * w[d] * sum[n * param.D + d];
    }
    let mean = groupSum(part, lane) * rstd[n] / f32(param.D);
    for (var d = lane; d < param.D; d += 256u) {
      let i = n * param.D + d;
      dx[i] = dsum[i] + rstd[n] * (dy[i] * w[d] - sum[i] * rstd[n] * mean);
    }
  }
  for (var d = lane; d < param.D; d += 256u) {
    var total = 0.0;
    for (var n = 16u * r; n < end; n++) {
      total += dy[n * param.D + d] * sum[n * param.D + d] * rstd[n];
    }
    dwParts[r * param.D + d] = total;
  }
}
