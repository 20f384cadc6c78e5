// dw = dyᵀ x in panels, in the tiles of matmul_tile.wgsl: columns k by outputs n, summed over the rows.
// Bytes: x once for a tile's panels, dy once for a tile's columns.

fn along() -> u32 {
  return param.M;
}

fn columnAt(k: u32, m: u32) -> f32 {
  if (k >= param.K || m >= param.M) { return 0.0; }
  return x[m * param.K + k];
}

// Row m of four columns from k on.
fn tileRows(k: u32, m: u32) -> vec4f {
  return vec4f(columnAt(k, m), columnAt(k + 1u, m), columnAt(k + 2u, m), columnAt(k + 3u, m));
}

fn placeInRows(lane: u32) -> vec2u {
  return vec2u(lane % rowQuads, lane / rowQuads);
}

fn cotangentAt(m: u32, n: u32) -> f32 {
  if (m >= param.M || n >= param.N) { return 0.0; }
  return dy[m * param.N + n];
}

// Row m of four outputs.
fn tileWeights(panel: u32, count: u32, m: u32, quarter: u32) -> vec4f {
  let n = 16u * panel + 4u * quarter;
  return vec4f(
    cotangentAt(m, n),
    cotangentAt(m, n + 1u),
    cotangentAt(m, n + 2u),
    cotangentAt(m, n + 3u),
  );
}

// Where four results of a lane lie in the panels, beyond all of them if there are none.
fn placeInPanels(corner: vec2u, i: u32, q: u32, lane: u32) -> u32 {
  let k = corner.x + lane / 16u * tall + i;
  let quad = outputQuad(q, lane);
  let panel = corner.y + quad / 4u;
  if (k >= param.K || panel >= param.P) { return 4u * param.P * param.K; }
  return (panel * param.K + k) * 4u + quad % 4u;
}

@compute @workgroup_size(256)
fn matmulGradW(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let corner = cornerOf(group, param.P);
  tileProduct(corner.x, corner.y, param.P, lane);
  for (var i = 0u; i < tall * quads; i++) {
    let at = placeInPanels(corner, i / quads, i % quads, lane);
    if (at < 4u * param.P * param.K) { dw[at] = tile[i]; }
  }
}

@compute @workgroup_size(256)
fn matmulGradWAdd(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let corner = cornerOf(group, param.P);
  tileProduct(corner.x, corner.y, param.P, lane);
  for (var i = 0u; i < tall * quads; i++) {
    let at = placeInPanels(corner, i / quads, i % quads, lane);
    if (at < 4u * param.P * param.K) { sum[at] += tile[i]; }
  }
}
