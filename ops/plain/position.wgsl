// last' = next, next' = next + 1. One row: a handful of numbers.

@compute @workgroup_size(64)
fn advance(@builtin(local_invocation_index) lane: u32) {
  for (var b = lane; b < param.B; b += 64u) {
    let value = next[b];
    position[b] = value;
    next[b] = value + 1;
  }
}
