// What a GPU can at most: reading memory, and multiplying and adding. Parallel plan: a workgroup a
// part; its lanes side by side, four loads or four sums of each at a time. Bytes: each part once.

@compute @workgroup_size(256)
fn streamSum(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  var sum = vec4f();
  var c = 4u * r * param.C + lane;
  let end = 4u * (r + 1u) * param.C;
  for (; c + 768u < end; c += 1024u) {
    sum += (x_get(c) + x_get(c + 256u)) + (x_get(c + 512u) + x_get(c + 768u));
  }
  for (; c < end; c += 256u) { sum += x_get(c); }
  let total = groupSum(sum.x + sum.y + sum.z + sum.w, lane);
  if (lane == 0u) { y[r] = total; }
}

@compute @workgroup_size(256)
fn multiplyAdd(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  let addend = vec4f(x[r]);
  var sum = vec4f();
  for (var first = 4u * lane; first < param.Lanes; first += 1024u) {
    var value = addend;
    var i = 0u;
    // By eights, so that counting costs next to nothing.
    for (; i + 7u < param.Count; i += 8u) {
      for (var j = 0u; j < 8u; j++) { value = fma(value, vec4f(0.5), addend); }
    }
    for (; i < param.Count; i++) { value = fma(value, vec4f(0.5), addend); }
    sum += value;
  }
  let value = sum.x + sum.y + sum.z + sum.w;
  let total = groupSum(value, lane);
  if (lane == 0u) { y[r] = total; }
}

@compute @workgroup_size(256)
fn multiplyAddWhole(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  let addend = i32(x[r]);
  var sum = 0.0;
  for (var first = lane; first < param.Lanes; first += 256u) {
    var value = 0;
    for (var i = 0u; i < param.Count; i++) { value += addend; }
    sum += f32(value);
  }
  let total = groupSum(sum, lane);
  if (lane == 0u) { y[r] = total; }
}
