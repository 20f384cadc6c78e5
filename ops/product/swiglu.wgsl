// y = silu(g) v. Parallel plan: a workgroup 1024 numbers of a row. Bytes: u and y once.

@compute @workgroup_size(256)
fn swiglu(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let across = (param.F + 1023u) / 1024u;
  let n = rowOf(group) / across;
  let first = (rowOf(group) % across) * 1024u;
  if (n >= param.N) { return; }
  for (var f = first + lane; f < min(param.F, first + 1024u); f += 256u) {
    y[n * param.F + f] = silu(u[2u * n * param.F + f]) * u[(2u * n + 1u) * param.F + f];
  }
}
