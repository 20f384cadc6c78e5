// lse = ln sum exp(logits), nll = lse - sum wanted logits. Parallel plan: a workgroup a row. Bytes:
// the logits once from memory, once more from cache.

@compute @workgroup_size(256)
fn crossEntropy(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  let first = n * param.V;
  var most = lowest;
  var total = 0.0;
  for (var v = lane; v < param.V; v += 256u) {
    most = max(most, logits[first + v]);
    total += logits[first + v];
  }
  let top = groupMax(most, lane);
  let all = groupSum(total, lane);
  var part = 0.0;
  for (var v = lane; v < param.V; v += 256u) { part += expOf(logits[first + v] - top); }
  let mass = groupSum(part, lane);
  if (lane != 0u) { return; }
  let ends = top + logOf(mass);
  let one = u32(targets[n]);
  var chosen = 0.0;
  if (one < param.V) { chosen = logits[first + one]; }
  lse[n] = ends;
  nll[n] = ends - (1.0 - param.smoothing) * chosen - param.smoothing / f32(param.V) * all;
}
