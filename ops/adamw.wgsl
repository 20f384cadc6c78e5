// AdamW in one pass over a parameter, its moments and its gradient; the squares of a gradient; the
// sum of micro-batches. Parallel plan: a workgroup takes 4,096 numbers side by side (squares: 65,536,
// summed in a fixed tree). Bytes: four numbers read, three written (squares: one read).

@compute @workgroup_size(256)
fn squareSums(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  let end = min(param.N, (r + 1u) * 65536u);
  var part = 0.0;
  for (var i = r * 65536u + lane; i < end; i += 256u) { part += x[i] * x[i]; }
  let total = groupSum(part, lane);
  if (lane == 0u) { parts[r] = total; }
}

@compute @workgroup_size(256)
fn adamW(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let factor = scale[0];
  if (factor < 0.0) { return; }
  let first = min(param.N, rowOf(group) * 4096u);
  let end = min(param.N, first + 4096u);
  let keep = 1.0 - rates[0] * param.decay;
  for (var i = first + lane; i < end; i += 256u) {
    let gradient = g[i] * factor;
    let m1 = m[i] * param.beta1 + gradient * (1.0 - param.beta1);
    let v1 = v[i] * param.beta2 + gradient * gradient * (1.0 - param.beta2);
    m[i] = m1;
    v[i] = v1;
    p[i] = p[i] * keep - rates[1] * m1 / (sqrt(v1) * rates[2] + param.eps);
  }
}

@compute @workgroup_size(256)
fn accumulate(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = min(param.N, rowOf(group) * 4096u);
  let end = min(param.N, first + 4096u);
  for (var i = first + lane; i < end; i += 256u) { a[i] += b[i]; }
}
