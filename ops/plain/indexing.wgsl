// Plain ops that read or write places known only when the plan runs, and conversions of dtype.
// Parallel plan: a workgroup a row, a row of the result, or 1024 elements. Bytes: each side once;
// scatterAdd reads all ids for every row of its result.

@compute @workgroup_size(256)
fn take(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }
  let id = ids[n];
  for (var d = lane; d < param.D; d += 256u) {
    if (id >= 0 && u32(id) < param.V) {
      x[n * param.D + d] = w[u32(id) * param.D + d];
    } else {
      x[n * param.D + d] = 0.0;
    }
  }
}

@compute @workgroup_size(256)
fn takeBytes(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = rowOf(group);
  if (n >= param.N) { return; }
  let words = param.D / 4u;
  let id = ids[n];
  for (var d = lane; d < words; d += 256u) {
    if (id >= 0 && u32(id) < param.V) {
      x[n * words + d] = w[u32(id) * words + d];
    } else {
      x[n * words + d] = 0u;
    }
  }
}

@compute @workgroup_size(256)
fn scatterAdd(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let id = rowOf(group);
  if (id >= param.V) { return; }
  for (var d = lane; d < param.D; d += 256u) {
    var total = 0.0;
    for (var n = 0u; n < param.N; n++) {
      if (ids[n] == i32(id)) { total += g[n * param.D + d]; }
    }
    y[id * param.D + d] = total;
  }
}

// In f16 words are copied, two numbers each. Rows of odd length share words: one lane writes them
// all, one after the other.
@compute @workgroup_size(256)
fn writeRows(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let bg = rowOf(group);
  if (bg >= param.B * param.G) { return; }
  let half = select(0u, 1u, cacheType == 1u);
  if ((param.E & half) != 0u) {
    if (bg == 0u && lane == 0u) { writeOddRows(); }
    return;
  }
  let at = ((bg * param.S + u32(position[bg / param.G])) * param.E) >> half;
  let count = (param.T * param.E) >> half;
  for (var i = lane; i < count; i += 256u) { cache[at + i] = rows[bg * count + i]; }
}

fn writeOddRows() {
  let count = param.T * param.E;
  for (var bg = 0u; bg < param.B * param.G; bg++) {
    let at = (bg * param.S + u32(position[bg / param.G])) * param.E;
    for (var i = 0u; i < count; i++) {
      let place = at + i;
      var pair = vec2f(cache_get(place & ~1u), cache_get(place | 1u));
      pair[place & 1u] = rows_get(bg * count + i);
      cache_put(place / 2u, pair, place + 2u);
    }
  }
}

@compute @workgroup_size(256)
fn readRows(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let bg = rowOf(group);
  if (bg >= param.B * param.G) { return; }
  let at = (bg * param.S + u32(position[bg / param.G])) * param.E;
  let count = param.T * param.E;
  for (var i = lane; i < count; i += 256u) { y[bg * count + i] = cache[at + i]; }
}

// Two elements a lane at a time, which make a word of 16-bit numbers.
@compute @workgroup_size(256)
fn castKernel(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = rowOf(group) * 512u;
  for (var i = first + lane; i < min((param.N + 1u) / 2u, first + 512u); i += 256u) {
    var pair = vec2f(x_get(2u * i), 0.0);
    if (2u * i + 1u < param.N) { pair.y = x_get(2u * i + 1u); }
    y_put(i, pair, param.N);
  }
}
