// AdamW in one pass over a parameter, its moments and its gradient; the squares of a gradient; the
// sum of micro-batches. Parallel plan: a workgroup takes 4,096 numbers side by side (squares: 65,536,
// summed in a fixed tree). Bytes: four numbers read, three written (squares: one read).

@compute @workgroup_size(256)
fn squareSums(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  let end = min(param.N, (r + 1u) * 65536u);
  var part = 0.0;
  for (var i = r * 65536u + 4u * lane; i < end; i += 1024u) {
    let value = below(x_four(i), i, end, 0.0);
    part += dot(value, value);
  }
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
  for (var i = first + 4u * lane; i < end; i += 1024u) {
    let gradient = g_four(i) * factor;
    let m1 = m_four(i) * param.beta1 + gradient * (1.0 - param.beta1);
    let v1 = v_four(i) * param.beta2 + gradient * gradient * (1.0 - param.beta2);
    m_setFour(i, m1, end);
    v_setFour(i, v1, end);
    p_setFour(i, p_four(i) * keep - rates[1] * m1 / (sqrt(v1) * rates[2] + param.eps), end);
  }
}

@compute @workgroup_size(256)
fn accumulate(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = min(param.N, rowOf(group) * 4096u);
  let end = min(param.N, first + 4096u);
  for (var i = first + 4u * lane; i < end; i += 1024u) { a_setFour(i, a_four(i) + b_four(i), end); }
}
