// q = rope(rmsNorm(q)) and k likewise, v as it is, out of qkv, heads first for keys and values; and
// the gradient of all of it. Parallel plan: forward a workgroup a head of a row, backward a workgroup
// 16 rows of qkv with all their heads, one after the other, lanes over the numbers of a head. Bytes:
// everything once, backward qkv and the cotangents twice.

// Rows of qkv: heads of queries, then keys, then values.
fn heads() -> u32 {
  return param.H + 2u * param.G;
}

@compute @workgroup_size(256)
fn qkNormRopeTrain(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = rowOf(group);
  if (item >= param.B * param.T * heads()) { return; }
  let row = item / heads();
  let head = item % heads();
  let b = row / param.T;
  let t = row % param.T;
  let first = item * param.E;
  let half = param.E / 2u;
  let isValue = head >= param.H + param.G;
  var part = 0.0;
  for (var e = lane; e < param.E; e += 256u) { part += qkv[first + e] * qkv[first + e]; }
  let rstd = 1.0 / sqrt(groupSum(part, lane) / f32(param.E) + param.eps);
  for (var e = lane; e < param.E; e += 256u) {
    if (isValue) {
      values[((b * param.G + head - param.H - param.G) * param.T + t) * param.E + e] = qkv[first + e];
      continue;
    }
    let j = e % half;
    let pair = select(e - half, e + half, e < half);
    let cosine = angles[t * param.E + j];
    let sine = angles[t * param.E + half + j];
    let slant = select(sine, -sine, e < half);
    if (head < param.H) {
      let y = qkv[first + e] * qNorm[e] * cosine + qkv[first + pair] * qNorm[pair] * slant;
      q[(row * param.H + head) * param.E + e] = y * rstd;
    } else {
      let y = qkv[first + e] * kNorm[e] * cosine + qkv[first + pair] * kNorm[pair] * slant;
      keys[((b * param.G + head - param.H) * param.T + t) * param.E + e] = y * rstd;
    }
  }
}

// Place in dq, dKeys or dValues of a head of row `row`.
fn cotangentAt(row: u32, head: u32) -> u32 {
  if (head < param.H) { return (row * param.H + head) * param.E; }
  let b = row / param.T;
  let t = row % param.T;
  let g = (head - param.H) % param.G;
  return ((b * param.G + g) * param.T + t) * param.E;
}

// Number e of the cotangent of a normalized head: rotated back.
fn unrotated(row: u32, head: u32, e: u32) -> f32 {
  let half = param.E / 2u;
  let t = row % param.T;
  let j = e % half;
  let pair = select(e - half, e + half, e < half);
  let cosine = angles[t * param.E + j];
  let sine = angles[t * param.E + half + j];
  let slant = select(-sine, sine, e < half);
  let at = cotangentAt(row, head);
  if (head < param.H) { return dq[at + e] * cosine + dq[at + pair] * slant; }
  return dKeys[at + e] * cosine + dKeys[at + pair] * slant;
}

fn weightOf(head: u32, e: u32) -> f32 {
  if (head < param.H) { return qNorm[e]; }
  return kNorm[e];
}

@compute @workgroup_size(256)
fn qkNormRopeTrainGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  for (var e = lane; e < param.E; e += 256u) {
    dqParts[r * param.E + e] = 0.0;
    dkParts[r * param.E + e] = 0.0;
  }
  let end = min(param.B * param.T, 16u * r + 16u);
  for (var row = 16u * r; row < end; row++) {
    for (var head = 0u; head < heads(); head++) {
      let first = (row * heads() + head) * param.E;
      if (head >= param.H + param.G) {
        let at = cotangentAt(row, head);
        for (var e = lane; e < param.E; e += 256u) { dqkv[first + e] = dValues[at + e]; }
        continue;
      }
      var square = 0.0;
      var part = 0.0;
      for (var e = lane; e < param.E; e += 256u) {
        let x = qkv[first + e];
        square += x * x;
        part += unrotated(row, head, e) * weightOf(head, e) * x;
      }
      let rstd = 1.0 / sqrt(groupSum(square, lane) / f32(param.E) + param.eps);
      let mean = groupSum(part, lane) * rstd / f32(param.E);
      for (var e = lane; e < param.E; e += 256u) {
        let d = unrotated(row, head, e);
        let unit = qkv[first + e] * rstd;
        dqkv[first + e] = rstd * (d * weightOf(head, e) - unit * mean);
        if (head < param.H) {
          dqParts[r * param.E + e] += d * unit;
        } else {
          dkParts[r * param.E + e] += d * unit;
        }
      }
    }
  }
}
