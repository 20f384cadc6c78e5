// Quantized weights for tiles of many rows, widened to f32 on the way to workgroup memory; and rows of
// a quantized embedding. Bytes: the blocks once for a tile's rows; half a block's vectors for a row.

fn fourScales(at: u32, quarter: u32) -> vec4f {
  if (isWide == 1u) { return bitcast<vec4f>(w_at(at + quarter)); }
  let scales = w_at(at + quarter / 2u);
  let two = select(scales.xy, scales.zw, (quarter & 1u) == 1u);
  return bitcast<vec4f>(vec4u(two.x << 16u, two.x & 0xffff0000u, two.y << 16u, two.y & 0xffff0000u));
}

// Numbers k of a quarter of a panel's outputs, block c of the panel.
fn widened(block: u32, k: u32, quarter: u32) -> vec4f {
  let scale = fourScales(block + scalesAt, quarter);
  if (isBytes == 1u) {
    let words = w_at(block + k / 2u * 2u + quarter / 2u);
    let pairs = bitcast<vec2i>(select(words.xy, words.zw, (quarter & 1u) == 1u));
    let first = (pairs << vec2u(24u - 8u * (k & 1u))) >> vec2u(24u);
    let second = (pairs << vec2u(8u - 8u * (k & 1u))) >> vec2u(24u);
    return scale * vec4f(vec4i(first.x, second.x, first.y, second.y));
  }
  let words = w_at(block + k / 8u * 4u + quarter);
  return scale * (vec4f((words >> vec4u((k & 3u) * 8u + (k & 4u))) & vec4u(15u)) - 8.0);
}

fn tileWeights(panel: u32, count: u32, k: u32, quarter: u32) -> vec4f {
  if (panel >= count || k >= param.K) { return vec4f(); }
  return widened((panel * param.C + k / 32u) * vectors, k % 32u, quarter);
}

@compute @workgroup_size(256)
fn embedQuantized(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }
  let id = u32(ids[n]);
  for (var d = lane; d < param.D; d += 256u) {
    let four = widened((id / 16u * param.C + d / 32u) * vectors, d % 32u, id % 16u / 4u);
    x[n * param.D + d] = four[id % 4u];
  }
}
