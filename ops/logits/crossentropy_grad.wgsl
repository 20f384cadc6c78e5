// d = (dnll + dlse)·softmax(logits) − dnll·wanted in the memory of the logits, wanted =
// (1 − smoothing)·onehot + smoothing / V. Parallel plan: a workgroup a row, a lane every 256th four.
// Bytes: the logits read and written once.

@compute @workgroup_size(256)
fn crossEntropyGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }
  let first = n * param.V;
  let weight = dnll[n];
  let all = weight + dlse[n];
  let least = weight * param.smoothing / f32(param.V);
  let one = u32(targets[n]);
  // A row without weight (an ignored target) is zeros even where its logits are not finite.
  let ignored = weight == 0.0 && all == 0.0;
  for (var i = 4u * lane; i < param.V; i += 1024u) {
    var d = vec4f();
    if (!ignored) {
      d = all * expOfFour(logits_four(first + i) - lse[n]) - least;
      let wanted = vec4u(i) + vec4u(0u, 1u, 2u, 3u) == vec4u(one);
      d -= select(vec4f(), vec4f(weight * (1.0 - param.smoothing)), wanted);
    }
    logits_setFour(first + i, d, first + param.V);
  }
}
