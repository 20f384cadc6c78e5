// With u = x·rstd and g = dy·w: dx = rstd·(g − u·mean(g·u)), and dw = Σ dy·u in blocks of 16 rows; the
// form with a residual adds its cotangent to dx. Parallel plan: a workgroup a block of 16 rows; first
// 16 lanes a row for the means, then a lane every 256th four columns of all rows. Bytes: x and dy
// twice, dx once.

var<workgroup> means: array<f32, 16>;

// Leaves mean(g·u) of the 16 rows of block r, of which a lane has a part of that of row lane / 16.
fn meansOf(part: f32, r: u32, lane: u32) {
  lanes[lane] = part;
  workgroupBarrier();
  if (lane < 16u) {
    var total = 0.0;
    for (var i = 0u; i < 16u; i++) { total += lanes[16u * lane + i]; }
    means[lane] = total * rstd[min(16u * r + lane, param.N - 1u)] / f32(param.D);
  }
  workgroupBarrier();
}

@compute @workgroup_size(256)
fn rmsNormGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  let row = min(16u * r + lane / 16u, param.N - 1u) * param.D;
  var part = 0.0;
  for (var i = lane % 16u * 4u; i < param.D; i += 64u) {
    part += dot(below(dy_four(row + i) * x_four(row + i), i, param.D, 0.0), w_four(i));
  }
  meansOf(part, r, lane);
  for (var i = 4u * lane; i < param.D; i += 1024u) {
    var total = vec4f();
    for (var n = 16u * r; n < min(param.N, 16u * r + 16u); n++) {
      let at = n * param.D + i;
      let d = dy_four(at);
      let unit = x_four(at) * rstd[n];
      total += d * unit;
      dx_setFour(at, rstd[n] * (d * w_four(i) - unit * means[n % 16u]), at - i + param.D);
    }
    dwParts_setFour(r * param.D + i, total, (r + 1u) * param.D);
  }
}

@compute @workgroup_size(256)
fn addRmsNormGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  let row = min(16u * r + lane / 16u, param.N - 1u) * param.D;
  var part = 0.0;
  for (var i = lane % 16u * 4u; i < param.D; i += 64u) {
    part += dot(below(dy_four(row + i) * sum_four(row + i), i, param.D, 0.0), w_four(i));
  }
  meansOf(part, r, lane);
  for (var i = 4u * lane; i < param.D; i += 1024u) {
    var total = vec4f();
    for (var n = 16u * r; n < min(param.N, 16u * r + 16u); n++) {
      let at = n * param.D + i;
      let d = dy_four(at);
      let unit = sum_four(at) * rstd[n];
      total += d * unit;
      let change = rstd[n] * (d * w_four(i) - unit * means[n % 16u]);
      dx_setFour(at, dsum_four(at) + change, at - i + param.D);
    }
    dwParts_setFour(r * param.D + i, total, (r + 1u) * param.D);
  }
}
