// Plain ops along the last axis. Parallel plan: a workgroup a row, its lanes side by side; sums in a
// fixed tree of f32. dot: a workgroup a row of a, a lane an output. Bytes: as the op table counts.

@compute @workgroup_size(256)
fn sumRows(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = rowOf(group);
  if (row >= param.N) { return; }
  var part = 0.0;
  for (var d = lane; d < param.D; d += 256u) { part += x[row * param.D + d]; }
  let total = groupSum(part, lane);
  if (lane == 0u) { y[row] = total; }
}

@compute @workgroup_size(256)
fn maxRows(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = rowOf(group);
  if (row >= param.N) { return; }
  var part = lowest;
  for (var d = lane; d < param.D; d += 256u) { part = max(part, x[row * param.D + d]); }
  let most = groupMax(part, lane);
  if (lane == 0u) { y[row] = most; }
}

var<workgroup> places: array<u32, 256>;

// Index of the largest of the lanes' best values, the smallest of equals, in every lane.
fn groupBest(value: f32, place: u32, lane: u32) -> u32 {
  lanes[lane] = value;
  places[lane] = place;
  workgroupBarrier();
  for (var span = 128u; span > 0u; span >>= 1u) {
    if (lane < span) {
      let other = lanes[lane + span];
      let better = other > lanes[lane];
      if (better || (other == lanes[lane] && places[lane + span] < places[lane])) {
        lanes[lane] = other;
        places[lane] = places[lane + span];
      }
    }
    workgroupBarrier();
  }
  let best = places[0];
  workgroupBarrier();
  return best;
}

@compute @workgroup_size(256)
fn argmax(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = rowOf(group);
  if (row >= param.N) { return; }
  var best = lowest;
  var place = 0xffffffffu;
  for (var d = lane; d < param.D; d += 256u) {
    let value = x[row * param.D + d];
    if (value > best || place == 0xffffffffu) {
      best = value;
      place = d;
    }
  }
  let found = groupBest(best, place, lane);
  if (lane == 0u) { y[row] = i32(found); }
}

@compute @workgroup_size(256)
fn cumsum(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = rowOf(group);
  if (row >= param.N) { return; }
  // Every lane adds a run of neighbours, then starts from the sum of the runs before its own.
  let run = (param.D + 255u) / 256u;
  let first = row * param.D + min(lane * run, param.D);
  let last = row * param.D + min((lane + 1u) * run, param.D);
  var part = 0.0;
  for (var i = first; i < last; i++) { part += x[i]; }
  lanes[lane] = part;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < lane; i++) { total += lanes[i]; }
  for (var i = first; i < last; i++) {
    total += x[i];
    y[i] = total;
  }
}

// Values in falling order.
@compute @workgroup_size(256)
fn sort(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = rowOf(group);
  if (row >= param.N) { return; }
  let first = row * param.D;
  for (var d = lane; d < param.D; d += 256u) { y[first + d] = x[first + d]; }
  storageBarrier();
  // Batcher's odd-even merge sort, which needs no power of two: what lies beyond the end is least.
  for (var p = 1u; p < param.D; p <<= 1u) {
    for (var k = p; k > 0u; k >>= 1u) {
      let skip = k % p;
      for (var i = skip + lane; i + k < param.D; i += 256u) {
        let lower = (i - skip) % (2u * k) < k;
        if (lower && i / (2u * p) == (i + k) / (2u * p)) {
          let a = y[first + i];
          let b = y[first + i + k];
          if (a < b) {
            y[first + i] = b;
            y[first + i + k] = a;
          }
        }
      }
      storageBarrier();
    }
  }
}

@compute @workgroup_size(256)
fn dot(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = rowOf(group);
  if (row >= param.B * param.M) { return; }
  let first = (row / param.M) * param.N * param.K;
  for (var n = lane; n < param.N; n += 256u) {
    var total = 0.0;
    for (var k = 0u; k < param.K;) {
      // Long sums in parts, which rounds less.
      var part = 0.0;
      let end = min(param.K, k + 64u);
      for (; k < end; k++) { part += a[row * param.K + k] * b[first + n * param.K + k]; }
      total += part;
    }
    y[row * param.N + n] = total;
  }
}
