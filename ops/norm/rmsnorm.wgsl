// y = x rstd w, rstd = (mean(x^2) + eps)^-1/2, alone and with the residual add before it. Parallel
// plan: a workgroup a row, a lane every 64th four. Bytes: each tensor once, x again from cache.

fn rstdOf(squares: f32) -> f32 {
  return 1.0 / sqrt(squares / f32(param.D) + param.eps);
}

@compute @workgroup_size(64)
fn rmsNorm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  let first = n * param.D;
  var part = 0.0;
  for (var i = 4u * lane; i < param.D; i += 256u) {
    let value = below(x_four(first + i), i, param.D, 0.0);
    part += dot(value, value);
  }
  let scale = rstdOf(sumOf64(part, lane));
  for (var i = 4u * lane; i < param.D; i += 256u) {
    y_setFour(first + i, x_four(first + i) * scale * w_four(i), first + param.D);
  }
  if (lane == 0u) { rstd[n] = scale; }
}

@compute @workgroup_size(64)
fn addRmsNorm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  let first = n * param.D;
  var part = 0.0;
  for (var i = 4u * lane; i < param.D; i += 256u) {
    let value = below(x_four(first + i) + d_four(first + i), i, param.D, 0.0);
    sum_setFour(first + i, value, first + param.D);
    part += dot(value, value);
  }
  let scale = rstdOf(sumOf64(part, lane));
  for (var i = 4u * lane; i < param.D; i += 256u) {
    let value = x_four(first + i) + d_four(first + i);
    y_setFour(first + i, value * scale * w_four(i), first + param.D);
  }
  if (lane == 0u) { rstd[n] = scale; }
}
