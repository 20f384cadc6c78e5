// Squares of the rows of quantized weights beside a low-rank matrix, summed: sum_squares.wgsl over widened weights.

// Number k of a quarter of a panel's outputs.
fn weightsAt(panel: u32, k: u32, quarter: u32) -> vec4f {
  return widened((panel * param.C + k / 32u) * vectors, k % 32u, quarter);
}

@compute @workgroup_size(256)
fn sumSquaresOfBlocks(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  sumOfSquares(group, lane);
}
