// y = Σ (w + b·a)² of each row of a matrix in panels, in the tiles of matmul_tile.wgsl: a workgroup has four panels,
// and walks over all of their numbers k, 64 at a time; what of b·a is in its registers meets the weights there.
// Bytes: the weights once, a once for four panels.

fn along() -> u32 {
  return param.R;
}

fn lowAt(k: u32, r: u32) -> f32 {
  if (k >= param.K || r >= param.R) { return 0.0; }
  return a[k * param.R + r];
}

// Rank r of four numbers from k on.
fn tileRows(k: u32, r: u32) -> vec4f {
  return vec4f(lowAt(k, r), lowAt(k + 1u, r), lowAt(k + 2u, r), lowAt(k + 3u, r));
}

// Rank r of a quarter of a panel.
fn tileWeights(panel: u32, count: u32, r: u32, quarter: u32) -> vec4f {
  if (panel >= count || r >= param.R) { return vec4f(); }
  return b_get((panel * param.R + r) * 4u + quarter);
}

// Number k of a quarter of a panel's outputs.
fn weightsAt(panel: u32, k: u32, quarter: u32) -> vec4f {
  return w_get((panel * param.K + k) * 4u + quarter);
}

// Of each lane: squares of its numbers k.
var<workgroup> squares: array<vec4f, 256>;

fn sumOfSquares(group: vec3u, lane: u32) {
  let first = rowOf(group) * 4u * quads;
  var sums: array<vec4f, quads>;
  for (var start = 0u; start < param.K; start += 16u * tall) {
    for (var i = 0u; i < tall * quads; i++) { tile[i] = vec4f(); }
    tileProduct(start, first, param.P, lane);
    for (var i = 0u; i < tall; i++) {
      let k = start + lane / 16u * tall + i;
      for (var q = 0u; q < quads; q++) {
        let o = outputQuad(q, lane);
        if (k >= param.K || first + o / 4u >= param.P) { continue; }
        let sum = tile[i * quads + q] + weightsAt(first + o / 4u, k, o % 4u);
        sums[q] += sum * sum;
      }
    }
  }
  for (var q = 0u; q < quads; q++) {
    squares[lane] = sums[q];
    workgroupBarrier();
    let o = outputQuad(q, lane);
    if (lane < 16u && first + o / 4u < param.P) {
      var sum = vec4f();
      for (var i = 0u; i < 16u; i++) { sum += squares[lane + 16u * i]; }
      y[4u * first + o] = sum;
    }
    workgroupBarrier();
  }
}

@compute @workgroup_size(256)
fn sumSquares(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  sumOfSquares(group, lane);
}
