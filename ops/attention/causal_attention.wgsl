// Causal attention within documents and its gradient, weights computed once more from lse. Parallel
// plan: forward a workgroup a query of a head, its lanes first over 128 keys at a time, then over the
// numbers of the head; sums rescaled as the maximum grows. Backward a workgroup a query (dq) or a key
// and one part of its query heads (dKeyParts, dValueParts). Bytes: keys and values once per query.

const atATime = 128u;
// Rows of what an item is, a query or a key, and the sums it makes: y or dq of a query, dk and dv of
// a key.
var<workgroup> weights: array<f32, 128>;
var<workgroup> dScores: array<f32, 128>;
var<workgroup> qOrK: array<f32, 512>;
var<workgroup> dyOrV: array<f32, 512>;
var<workgroup> acc: array<f32, 512>;
var<workgroup> dvAcc: array<f32, 512>;
var<workgroup> firstKey: u32;

// The first key that row b·T + t may see, known to be the same in all lanes.
fn firstOfRow(row: u32, lane: u32) -> u32 {
  if (lane == 0u) { firstKey = u32(starts[row]); }
  return workgroupUniformLoad(&firstKey);
}

@compute @workgroup_size(256)
fn causalAttention(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = rowOf(group);
  if (item >= param.Groups) { return; }
  let row = item / param.H;
  let h = item % param.H;
  let t = row % param.T;
  let base = ((row / param.T) * param.G + h * param.G / param.H) * param.T * param.E;
  for (var e = lane; e < param.E; e += 256u) {
    qOrK[e] = q[item * param.E + e] * param.scale;
    acc[e] = 0.0;
  }
  let first = firstOfRow(row, lane);
  var most = lowest;
  var total = 0.0;
  for (var start = first; start <= t; start += atATime) {
    let j = start + lane;
    let seen = lane < atATime && j <= t;
    var score = lowest;
    if (seen) {
      score = 0.0;
      for (var e = 0u; e < param.E; e++) { score += qOrK[e] * keys[base + j * param.E + e]; }
    }
    let top = max(most, groupMax(score, lane));
    var weight = 0.0;
    if (seen) { weight = expOf(score - top); }
    if (lane < atATime) { weights[lane] = weight; }
    let shrink = expOf(most - top);
    total = total * shrink + groupSum(weight, lane);
    most = top;
    let count = min(atATime, t + 1u - start);
    for (var e = lane; e < param.E; e += 256u) {
      var sum = acc[e] * shrink;
      for (var i = 0u; i < count; i++) {
        sum += weights[i] * values[base + (start + i) * param.E + e];
      }
      acc[e] = sum;
    }
    workgroupBarrier();
  }
  for (var e = lane; e < param.E; e += 256u) { y[item * param.E + e] = acc[e] / total; }
  if (lane == 0u) { lse[item] = most + logOf(total); }
}

@compute @workgroup_size(256)
fn causalAttentionGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = rowOf(group);
  if (item >= param.Groups) { return; }
  let queries = param.B * param.T * param.H;
  if (item < queries) { queryGrad(item, lane); } else { keyGrad(item - queries, lane); }
}

// dq of head h of row b·T + t, item = (b·T + t)·H + h.
fn queryGrad(item: u32, lane: u32) {
  let row = item / param.H;
  let h = item % param.H;
  let t = row % param.T;
  let base = ((row / param.T) * param.G + h * param.G / param.H) * param.T * param.E;
  var part = 0.0;
  for (var e = lane; e < param.E; e += 256u) {
    let i = item * param.E + e;
    qOrK[e] = q[i] * param.scale;
    dyOrV[e] = dy[i];
    acc[e] = 0.0;
    part += dy[i] * y[i];
  }
  let delta = groupSum(part, lane);
  let first = firstOfRow(row, lane);
  for (var start = first; start <= t; start += atATime) {
    let j = start + lane;
    if (lane < atATime && j <= t) {
      var score = 0.0;
      var dWeight = 0.0;
      for (var e = 0u; e < param.E; e++) {
        score += qOrK[e] * keys[base + j * param.E + e];
        dWeight += dyOrV[e] * values[base + j * param.E + e];
      }
      dScores[lane] = expOf(score - lse[item]) * (dWeight - delta) * param.scale;
    }
    workgroupBarrier();
    let count = min(atATime, t + 1u - start);
    for (var e = lane; e < param.E; e += 256u) {
      var sum = acc[e];
      for (var i = 0u; i < count; i++) { sum += dScores[i] * keys[base + (start + i) * param.E + e]; }
      acc[e] = sum;
    }
    workgroupBarrier();
  }
  for (var e = lane; e < param.E; e += 256u) { dq[item * param.E + e] = acc[e]; }
}

// The sums of key j of part r of key head g over the queries that see it, item = ((b·G + g)·R + r)·T + j.
fn keyGrad(item: u32, lane: u32) {
  let j = item % param.T;
  let r = (item / param.T) % param.R;
  let head = item / (param.T * param.R);
  let b = head / param.G;
  let first = (head * param.T + j) * param.E;
  for (var e = lane; e < param.E; e += 256u) {
    qOrK[e] = keys[first + e];
    dyOrV[e] = values[first + e];
    acc[e] = 0.0;
    dvAcc[e] = 0.0;
  }
  workgroupBarrier();
  let each = param.H / param.G / param.R;
  let h0 = (head % param.G) * (param.H / param.G) + r * each;
  for (var h = h0; h < h0 + each; h++) {
    for (var start = j; start < param.T; start += atATime) {
      if (lane < atATime) { dScoresOf(b * param.T, start + lane, h, j, lane); }
      workgroupBarrier();
      let count = min(atATime, param.T - start);
      for (var e = lane; e < param.E; e += 256u) {
        var keySum = acc[e];
        var valueSum = dvAcc[e];
        for (var i = 0u; i < count; i++) {
          let at = ((b * param.T + start + i) * param.H + h) * param.E + e;
          keySum += dScores[i] * q[at];
          valueSum += weights[i] * dy[at];
        }
        acc[e] = keySum;
        dvAcc[e] = valueSum;
      }
      workgroupBarrier();
    }
  }
  for (var e = lane; e < param.E; e += 256u) {
    dKeyParts[item * param.E + e] = acc[e];
    dValueParts[item * param.E + e] = dvAcc[e];
  }
}

// What key j, whose numbers lie in `qOrK` and `dyOrV`, gets of query t of head h: zeros if unseen.
fn dScoresOf(rows: u32, t: u32, h: u32, j: u32, lane: u32) {
  weights[lane] = 0.0;
  dScores[lane] = 0.0;
  if (t >= param.T) { return; }
  if (u32(starts[rows + t]) > j) { return; }
  let row = (rows + t) * param.H + h;
  var score = 0.0;
  var dWeight = 0.0;
  var delta = 0.0;
  for (var e = 0u; e < param.E; e++) {
    let i = row * param.E + e;
    score += q[i] * qOrK[e];
    dWeight += dy[i] * dyOrV[e];
    delta += dy[i] * y[i];
  }
  let weight = expOf(score * param.scale - lse[row]);
  weights[lane] = weight;
  dScores[lane] = weight * (dWeight - delta) * param.scale;
}
