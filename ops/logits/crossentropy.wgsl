// lse = ln sum exp(logits), nll = lse - sum wanted logits. Parallel plan: a workgroup a row, a lane
// every 256th four with a maximum and a sum of its own. Bytes: the logits once.

@compute @workgroup_size(256)
fn crossEntropy(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  let first = n * param.V;
  let one = u32(targets[n]);
  var running = vec2f(lowest, 0.0);
  var total = 0.0;
  var chosen = 0.0;
  for (var i = 4u * lane; i < param.V; i += 1024u) {
    let x = logits_four(first + i);
    running = withMass(running, below(x, i, param.V, lowest), i, param.V);
    total += dot(below(x, i, param.V, 0.0), vec4f(1.0));
    if (one >= i && one < i + 4u) { chosen = x[one - i]; }
  }
  let top = groupMax(running.x, lane);
  let mass = groupSum(running.y * expOf(running.x - top), lane);
  let all = groupSum(total, lane);
  let wanted = groupSum(chosen, lane);
  if (lane != 0u) { return; }
  let ends = top + logOf(mass);
  lse[n] = ends;
  nll[n] = ends - (1.0 - param.smoothing) * wanted - param.smoothing / f32(param.V) * all;
}
