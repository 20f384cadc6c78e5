// attention_row.wgsl and rope_attention.wgsl over a q8 cache (q8_rows.ts): a row is E/4 words, then its
// scale. Parallel plan: theirs. Bytes: a quarter of theirs.

fn keyFour(row: u32, e: u32) -> vec4f {
  let at = row * (width + 1u);
  return q8Four(keys[at + e], bitcast<f32>(keys[at + width]));
}

fn valueFour(row: u32, e: u32) -> vec4f {
  let at = row * (width + 1u);
  return q8Four(values[at + e], bitcast<f32>(values[at + width]));
}

// Bits of the farthest of four numbers from 0.
fn farthestOf(four: vec4f) -> u32 {
  let bits = bitcast<vec4u>(four) & vec4u(0x7fffffffu);
  return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

// The new key and value as the cache keeps them, to its row.
fn keepNew(row: u32, lane: u32) {
  workgroupBarrier();
  var most = vec2u();
  for (var i = 0u; i < width; i++) {
    most = max(most, vec2u(farthestOf(newKey[i]), farthestOf(newValue[i])));
  }
  workgroupBarrier();
  if (lane >= width) { return; }
  let at = row * (width + 1u);
  let scales = vec2f(q8Scale(most.x), q8Scale(most.y));
  let words = vec2u(q8Word(newKey[lane], scales.x), q8Word(newValue[lane], scales.y));
  newKey[lane] = q8Four(words.x, scales.x);
  newValue[lane] = q8Four(words.y, scales.y);
  keys[at + lane] = words.x;
  values[at + lane] = words.y;
  if (lane > 0u) { return; }
  keys[at + width] = bitcast<u32>(scales.x);
  values[at + width] = bitcast<u32>(scales.y);
}

@compute @workgroup_size(256)
fn attentionRowQ8(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (rowOf(group) < param.Groups) { attendRow(rowOf(group), lane); }
}

@compute @workgroup_size(256)
fn ropeAttentionPartsQ8(
  @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32,
) {
  if (rowOf(group) < param.Groups) { attendSlice(rowOf(group), lane); }
}
