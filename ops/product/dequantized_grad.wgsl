// dx = dy W for quantized weights (quantized_pack.ts says what blocks hold), in the tiles of matmul_grad_x.wgsl:
// four numbers of an output at a time are widened on their way to workgroup memory. Bytes: dy once for a tile's
// columns, the blocks once for a tile's rows.

// Numbers k to k + 3 of output o of a block, k a multiple of 4.
fn widenedAlong(block: u32, k: u32, o: u32) -> vec4f {
  let quarter = o / 4u;
  let c = o % 4u;
  let scale = fourScales(block + scalesAt, quarter)[c];
  if (isBytes == 1u) {
    // A vector has two numbers of eight outputs; the upper half of a word is of its second output.
    let first = w_at(block + k + quarter / 2u)[quarter % 2u * 2u + c / 2u];
    let second = w_at(block + k + 2u + quarter / 2u)[quarter % 2u * 2u + c / 2u];
    let words = bitcast<vec4i>(vec4u(first, first, second, second));
    let up = select(vec4u(24u, 16u, 24u, 16u), vec4u(8u, 0u, 8u, 0u), c % 2u == 1u);
    return scale * vec4f((words << up) >> vec4u(24u));
  }
  let word = w_at(block + k / 8u * 4u + quarter)[c];
  let fours = (vec4u(word) >> (vec4u(0u, 8u, 16u, 24u) + (k & 4u))) & vec4u(15u);
  return scale * (vec4f(fours) - 8.0);
}

// Weights of output n for four columns.
fn tileWeights(sixteen: u32, count: u32, n: u32, quarter: u32) -> vec4f {
  if (sixteen >= count || n >= 16u * param.P) { return vec4f(); }
  let k = 16u * sixteen + 4u * quarter;
  return widenedAlong((n / 16u * param.C + k / 32u) * vectors, k % 32u, n % 16u);
}

@compute @workgroup_size(256)
fn matmulDequantizedGradX(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  tileRowsGradX(group, lane);
}
