// Where sequences stand: last' = next, next' = next + 1, and the positions of their tokens. One row: a
// handful of numbers.

@compute @workgroup_size(64)
fn advance(@builtin(local_invocation_index) lane: u32) {
  for (var b = lane; b < param.B; b += 64u) {
    let value = next[b];
    position[b] = value;
    next[b] = value + 1;
  }
}

@compute @workgroup_size(64)
fn positionIds(@builtin(local_invocation_index) lane: u32) {
  for (var n = lane; n < param.B * param.T; n += 64u) {
    ids[n] = position[n / param.T] + i32(n % param.T + param.Offset);
  }
}
