// y = x + b of each row, alone and with an activation, max(u, 0) or u·Φ(u), Φ(u) = ½·erfc(−u/√2), and
// the cotangents of u. Parallel plan: a workgroup 1024 numbers of a row. Bytes: each side once.

struct Span {
  row: u32, // where the row begins
  first: u32,
  end: u32,
}

fn spanOf(group: vec3u, lane: u32) -> Span {
  let across = (param.D + 1023u) / 1024u;
  let n = rowOf(group) / across;
  if (n >= param.N) { return Span(0u, 0u, 0u); }
  let first = (rowOf(group) % across) * 1024u;
  return Span(n * param.D, first + lane, min(param.D, first + 1024u));
}

fn normalShare(u: f32) -> f32 {
  return 0.5 * erfcOf(-0.7071067811865476 * u);
}

@compute @workgroup_size(256)
fn addBias(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let span = spanOf(group, lane);
  for (var i = span.first; i < span.end; i += 256u) { x[span.row + i] += b[i]; }
}

@compute @workgroup_size(256)
fn biasRelu(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let span = spanOf(group, lane);
  for (var i = span.first; i < span.end; i += 256u) {
    let u = x[span.row + i] + b[i];
    // Not max, which may leave NaN out.
    x[span.row + i] = select(u, 0.0, u <= 0.0);
  }
}

@compute @workgroup_size(256)
fn reluGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let span = spanOf(group, lane);
  for (var i = span.first; i < span.end; i += 256u) {
    du[span.row + i] = select(0.0, dy[span.row + i], y[span.row + i] > 0.0);
  }
}

@compute @workgroup_size(256)
fn biasGelu(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let span = spanOf(group, lane);
  for (var i = span.first; i < span.end; i += 256u) {
    let u = x[span.row + i] + b[i];
    y[span.row + i] = u * normalShare(u);
  }
}

@compute @workgroup_size(256)
fn biasGeluGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let span = spanOf(group, lane);
  for (var i = span.first; i < span.end; i += 256u) {
    let u = x[span.row + i] + b[i];
    let slope = normalShare(u) + 0.3989422804014327 * u * expOf(-0.5 * u * u);
    du[span.row + i] = dy[span.row + i] * slope;
  }
}
