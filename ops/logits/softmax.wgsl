// y = exp(x - max x) / sum. Parallel plan: a workgroup a row, a lane every 256th four, with a
// maximum and a sum of its own. Bytes: x from memory once, once more from cache, y once.

@compute @workgroup_size(256)
fn softmax(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  let first = n * param.D;
  var running = vec2f(lowest, 0.0);
  for (var i = 4u * lane; i < param.D; i += 1024u) {
    running = withMass(running, below(x_four(first + i), i, param.D, lowest), i, param.D);
  }
  let most = groupMax(running.x, lane);
  let scale = 1.0 / groupSum(running.y * expOf(running.x - most), lane);
  for (var i = 4u * lane; i < param.D; i += 1024u) {
    y_setFour(first + i, expOfFour(x_four(first + i) - most) * scale, first + param.D);
  }
}

fn expOfFour(x: vec4f) -> vec4f {
  return vec4f(expOf(x.x), expOf(x.y), expOf(x.z), expOf(x.w));
}

// A maximum and a sum of exp above it, with four more numbers, of which those below `end` count.
fn withMass(running: vec2f, x: vec4f, i: u32, end: u32) -> vec2f {
  let most = max(running.x, max(max(x.x, x.y), max(x.z, x.w)));
  let mass = below(expOfFour(x - most), i, end, 0.0);
  return vec2f(most, running.y * expOf(running.x - most) + dot(mass, vec4f(1.0)));
}
