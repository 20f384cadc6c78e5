// dx = dy W for weights in panels, in the tiles of matmul_tile.wgsl: rows m by columns k, summed over
// the outputs n. Bytes: dy once for a tile's columns, the weights once for a tile's rows.

fn along() -> u32 {
  return 16u * param.P;
}

fn cotangentAt(m: u32, n: u32) -> f32 {
  if (m >= param.M || n >= param.N) { return 0.0; }
  return dy[m * param.N + n];
}

// Output n of four rows from m on.
fn tileRows(m: u32, n: u32) -> vec4f {
  return vec4f(
    cotangentAt(m, n),
    cotangentAt(m + 1u, n),
    cotangentAt(m + 2u, n),
    cotangentAt(m + 3u, n),
  );
}

fn weightAt(n: u32, k: u32) -> f32 {
  if (k >= param.K || n >= 16u * param.P) { return 0.0; }
  return w_get((n / 16u * param.K + k) * 16u + n % 16u);
}

// Weights of output n for four columns.
fn tileWeights(sixteen: u32, count: u32, n: u32, quarter: u32) -> vec4f {
  let k = 16u * sixteen + 4u * quarter;
  return vec4f(weightAt(n, k), weightAt(n, k + 1u), weightAt(n, k + 2u), weightAt(n, k + 3u));
}

fn putFour(at: u32, count: u32, four: vec4f) {
  if (count > 0u) { dx[at] = four.x; }
  if (count > 1u) { dx[at + 1u] = four.y; }
  if (count > 2u) { dx[at + 2u] = four.z; }
  if (count > 3u) { dx[at + 3u] = four.w; }
}

// dx = dy W
fn tileRowsGradX(group: vec3u, lane: u32) {
  let count = (param.K + 15u) / 16u;
  let corner = cornerOf(group, count);
  tileProduct(corner.x, corner.y, count, lane);
  for (var i = 0u; i < tall; i++) {
    let m = corner.x + lane / 16u * tall + i;
    for (var q = 0u; q < quads; q++) {
      let k = 16u * corner.y + 4u * outputQuad(q, lane);
      putFour(m * param.K + k, countFrom(m, k, param.K), tile[i * quads + q]);
    }
  }
}

@compute @workgroup_size(256)
fn matmulGradX(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  tileRowsGradX(group, lane);
}
