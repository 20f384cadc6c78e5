// dx = dy·W and dw = dyᵀ·x for weights in panels (P, K, 16). Parallel plan: a workgroup takes a tile
// of 32 rows by 32 columns of dx (or 64 columns of one panel of dw), the sum in steps of 16 through
// workgroup memory; every lane keeps four results in registers. Bytes: dx: dy once per 32 columns,
// W once per 32 rows; dw: x once per panel, dy once per 64 columns.

var<workgroup> left: array<f32, 544>;
var<workgroup> right: array<f32, 544>;

// groups: ceil(M / 32) * ceil(K / 32)
@compute @workgroup_size(256)
fn matmulGradX(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = rowOf(group);
  if (tile >= param.Groups) { return; }
  let across = (param.K + 31u) / 32u;
  let m0 = (tile / across) * 32u;
  let k0 = (tile % across) * 32u;
  let r = lane / 16u;
  let c = lane % 16u;
  var total = vec4f(0.0);
  for (var p = 0u; p < param.P; p++) {
    let n = p * 16u + c;
    for (var h = 0u; h < 32u; h += 16u) {
      let m = m0 + r + h;
      var value = 0.0;
      if (m < param.M && n < param.N) { value = dy[m * param.N + n]; }
      left[(r + h) * 17u + c] = value;
    }
    if (lane < 128u) {
      let k = lane / 4u;
      var four = vec4f(0.0);
      if (k0 + k < param.K) { four = w_get((p * param.K + k0 + k) * 4u + lane % 4u); }
      for (var j = 0u; j < 4u; j++) { right[k * 17u + (lane % 4u) * 4u + j] = four[j]; }
    }
    workgroupBarrier();
    // The sum of a panel first, which rounds less.
    var part = vec4f(0.0);
    for (var j = 0u; j < 16u; j++) {
      let a = vec2f(left[r * 17u + j], left[(r + 16u) * 17u + j]);
      let b = vec2f(right[c * 17u + j], right[(c + 16u) * 17u + j]);
      part += a.xxyy * b.xyxy;
    }
    total += part;
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    let m = m0 + r + 16u * (i / 2u);
    let k = k0 + c + 16u * (i % 2u);
    if (m < param.M && k < param.K) { dx[m * param.K + k] = total[i]; }
  }
}

var<workgroup> strip: array<f32, 1024>;
var<workgroup> outputs: array<f32, 256>;

// Four outputs of panel p for column k0 + lane / 4, summed over all rows.
fn panelSum(p: u32, k0: u32, lane: u32) -> vec4f {
  var total = vec4f(0.0);
  for (var m0 = 0u; m0 < param.M; m0 += 16u) {
    for (var i = lane; i < 1024u; i += 256u) {
      let m = m0 + i / 64u;
      let k = k0 + i % 64u;
      var value = 0.0;
      if (m < param.M && k < param.K) { value = x[m * param.K + k]; }
      strip[i] = value;
    }
    let m = m0 + lane / 16u;
    let n = p * 16u + lane % 16u;
    var value = 0.0;
    if (m < param.M && n < param.N) { value = dy[m * param.N + n]; }
    outputs[lane] = value;
    workgroupBarrier();
    var part = vec4f(0.0);
    let j = (lane % 4u) * 4u;
    for (var i = 0u; i < 16u; i++) {
      let at = i * 16u + j;
      let four = vec4f(outputs[at], outputs[at + 1u], outputs[at + 2u], outputs[at + 3u]);
      part += strip[i * 64u + lane / 4u] * four;
    }
    total += part;
    workgroupBarrier();
  }
  return total;
}

// groups: P * ceil(K / 64)
@compute @workgroup_size(256)
fn matmulGradW(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = rowOf(group);
  if (tile >= param.Groups) { return; }
  let across = (param.K + 63u) / 64u;
  let p = tile / across;
  let k0 = (tile % across) * 64u;
  let four = panelSum(p, k0, lane);
  let k = k0 + lane / 4u;
  if (k < param.K) { dw[(p * param.K + k) * 4u + lane % 4u] = four; }
}

// groups: P * ceil(K / 64)
@compute @workgroup_size(256)
fn matmulGradWAdd(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = rowOf(group);
  if (tile >= param.Groups) { return; }
  let across = (param.K + 63u) / 64u;
  let p = tile / across;
  let k0 = (tile % across) * 64u;
  let four = panelSum(p, k0, lane);
  let k = k0 + lane / 4u;
  if (k < param.K) { sum[(p * param.K + k) * 4u + lane % 4u] += four; }
}
