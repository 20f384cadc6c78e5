// d = (dnll + dlse)·softmax − dnll·wanted in the memory of the logits, wanted = (1 − smoothing)·onehot
// + smoothing / V. Parallel plan: a workgroup a row. Bytes: the logits read and written once.

@compute @workgroup_size(256)
fn crossEntropyGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }
  let weight = dnll[n];
  let all = weight + dlse[n];
  let least = weight * param.smoothing / f32(param.V);
  let wantedId = u32(targets[n]);
  // A row without weight (an ignored target) is zeros even where its logits are not finite.
  let ignored = weight == 0.0 && all == 0.0;
  for (var v = lane; v < param.V; v += 256u) {
    let i = n * param.V + v;
    var d = 0.0;
    if (!ignored) {
      d = all * expOf(logits[i] - lse[n]) - least;
      if (v == wantedId) { d -= weight * (1.0 - param.smoothing); }
    }
    logits[i] = d;
  }
}
