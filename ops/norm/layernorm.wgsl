// y = (x - mean) (var + eps)^-1/2 w + b. Parallel plan: a workgroup a row, a lane every 64th four.
// Bytes: x from memory once, twice more from cache, y once.

@compute @workgroup_size(64)
fn layerNorm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }

  let first = n * param.D;
  var part = 0.0;
  for (var i = 4u * lane; i < param.D; i += 256u) {
    part += dot(below(x_four(first + i), i, param.D, 0.0), vec4f(1.0));
  }
  let mean = sumOf64(part, lane) / f32(param.D);
  part = 0.0;
  for (var i = 4u * lane; i < param.D; i += 256u) {
    let centred = below(x_four(first + i) - mean, i, param.D, 0.0);
    part += dot(centred, centred);
  }
  let scale = 1.0 / sqrt(sumOf64(part, lane) / f32(param.D) + param.eps);
  for (var i = 4u * lane; i < param.D; i += 256u) {
    let unit = (x_four(first + i) - mean) * scale;
    y_setFour(first + i, unit * w_four(i) + b_four(i), first + param.D);
  }
}
