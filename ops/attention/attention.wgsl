// Causal grouped-query attention over the cache. Parallel plan: a workgroup a query of a head, its
// lanes first over 256 keys at a time, then over the numbers of the head; sums rescaled as the maximum
// grows, so that memory does not grow with the cache. Bytes: keys and values once per query of a head.

const keysAtATime = 256u;
var<workgroup> weights: array<f32, 256>;
var<workgroup> scaledQ: array<f32, 1024>;
var<workgroup> acc: array<f32, 1024>;
var<workgroup> firstPosition: u32;

@compute @workgroup_size(256)
fn attention(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = rowOf(group);
  if (item >= param.Groups) { return; }
  let row = item / param.H;
  let h = item % param.H;
  let b = row / param.T;
  let base = (b * param.G + h * param.G / param.H) * param.S * param.E;
  for (var e = lane; e < param.E; e += 256u) {
    scaledQ[e] = q[item * param.E + e] * param.scale;
    acc[e] = 0.0;
  }
  if (lane == 0u) { firstPosition = u32(position[b]); }
  let last = min(workgroupUniformLoad(&firstPosition) + row % param.T, param.S - 1u);
  var most = lowest;
  var total = 0.0;
  for (var start = 0u; start <= last; start += keysAtATime) {
    let j = start + lane;
    var score = lowest;
    if (j <= last) {
      score = 0.0;
      for (var e = 0u; e < param.E; e++) { score += scaledQ[e] * keys_get(base + j * param.E + e); }
    }
    let top = max(most, groupMax(score, lane));
    var weight = 0.0;
    if (j <= last) { weight = expOf(score - top); }
    weights[lane] = weight;
    let shrink = expOf(most - top);
    total = total * shrink + groupSum(weight, lane);
    most = top;
    let count = min(keysAtATime, last + 1u - start);
    for (var e = lane; e < param.E; e += 256u) {
      var sum = acc[e] * shrink;
      for (var i = 0u; i < count; i++) {
        sum += weights[i] * values_get(base + (start + i) * param.E + e);
      }
      acc[e] = sum;
    }
    workgroupBarrier();
  }
  for (var e = lane; e < param.E; e += 256u) { y[item * param.E + e] = acc[e] / total; }
}
