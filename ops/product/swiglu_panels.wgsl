// y = silu(g)·v with g and v in alternating runs of 16, and its cotangent, zeros beside the F pairs.
// Parallel plan: a workgroup a row, a lane four pairs. Bytes: u (and dy) read, y (or du) written once.

@compute @workgroup_size(256)
fn swigluPanels(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }
  for (var f = 4u * lane; f < param.F; f += 1024u) {
    let at = n * param.P * 8u + (f / 16u) * 8u + (f % 16u) / 4u;
    for (var j = 0u; j < 4u && f + j < param.F; j++) {
      y[n * param.F + f + j] = silu(u[at][j]) * u[at + 4u][j];
    }
  }
}

@compute @workgroup_size(256)
fn swigluPanelsGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }
  for (var f = 4u * lane; f < 16u * param.P; f += 1024u) {
    let at = n * param.P * 8u + (f / 16u) * 8u + (f % 16u) / 4u;
    var gates = vec4f(0.0);
    var values = vec4f(0.0);
    for (var j = 0u; j < 4u && f + j < param.F; j++) {
      let g = u[at][j];
      let d = dy[n * param.F + f + j];
      let s = 1.0 / (1.0 + expOf(-g));
      gates[j] = d * u[at + 4u][j] * (s + g * s * (1.0 - s));
      values[j] = d * g * s;
    }
    du[at] = gates;
    du[at + 4u] = values;
  }
}
