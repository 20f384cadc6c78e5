// q = rope(rmsNorm(q)), and rope(rmsNorm(k)) and v into the caches at position[b] … +T−1; and the same
// without the norms. Parallel plan: a workgroup a head of a row, a lane two neighbouring numbers, since
// caches of 16 bits are written by twos. Bytes: everything once.

// Where row (b, t) of head g of a cache begins.
fn cacheAt(b: u32, g: u32, t: u32) -> u32 {
  return ((b * param.G + g) * param.S + u32(position[b]) + t) * param.E;
}

// What a cache can hold: in f16 at most ±65504.
fn held(x: vec2f) -> vec2f {
  if (keysType != 1u) { return x; }
  return clamp(x, vec2f(-65504.0), vec2f(65504.0));
}

fn qkvRotated(first: u32, e: u32, place: u32, isKey: bool) -> f32 {
  let half = param.E / 2u;
  let j = e % half;
  let pair = select(e - half, e + half, e < half);
  let cosine = angles[place * param.E + j];
  let sine = angles[place * param.E + half + j];
  let slant = select(sine, -sine, e < half);
  let weight = vec2f(select(qNorm[e], kNorm[e], isKey), select(qNorm[pair], kNorm[pair], isKey));
  return qkv[first + e] * weight.x * cosine + qkv[first + pair] * weight.y * slant;
}

@compute @workgroup_size(256)
fn qkNormRope(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let heads = param.H + 2u * param.G;
  let item = rowOf(group);
  if (item >= param.B * param.T * heads) { return; }
  let row = item / heads;
  let head = item % heads;
  let b = row / param.T;
  let t = row % param.T;
  let first = item * param.E;
  var part = 0.0;
  for (var e = lane; e < param.E; e += 256u) { part += qkv[first + e] * qkv[first + e]; }
  let rstd = 1.0 / sqrt(groupSum(part, lane) / f32(param.E) + param.eps);
  let place = u32(position[b]) + t;
  for (var e = 2u * lane; e < param.E; e += 512u) {
    if (head >= param.H + param.G) {
      let at = cacheAt(b, head - param.H - param.G, t) + e;
      values_put(at / 2u, held(vec2f(qkv[first + e], qkv[first + e + 1u])), at + 2u);
      continue;
    }
    let isKey = head >= param.H;
    let two = rstd * vec2f(qkvRotated(first, e, place, isKey), qkvRotated(first, e + 1u, place, isKey));
    if (isKey) {
      let at = cacheAt(b, head - param.H, t) + e;
      keys_put(at / 2u, held(two), at + 2u);
    } else {
      let at = (row * param.H + head) * param.E + e;
      q[at] = two.x;
      q[at + 1u] = two.y;
    }
  }
}

// cos and the turned sine of number e of a head at a place, and the number it pairs with.
fn angleOf(e: u32, place: u32) -> vec2f {
  let half = param.E / 2u;
  let sine = angles[place * param.E + half + e % half];
  return vec2f(angles[place * param.E + e % half], select(sine, -sine, e < half));
}

fn pairOf(e: u32) -> u32 {
  return select(e - param.E / 2u, e + param.E / 2u, e < param.E / 2u);
}

@compute @workgroup_size(256)
fn ropeWrite(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let heads = param.H + 2u * param.G;
  let item = rowOf(group);
  if (item >= param.B * param.T * heads) { return; }
  let row = item / heads;
  let head = item % heads;
  let b = row / param.T;
  let t = row % param.T;
  let place = u32(position[b]) + t;
  for (var e = 2u * lane; e < param.E; e += 512u) {
    let a0 = angleOf(e, place);
    let a1 = angleOf(e + 1u, place);
    if (head < param.H) {
      let first = (row * param.H + head) * param.E;
      y[first + e] = dot(a0, vec2f(q[first + e], q[first + pairOf(e)]));
      y[first + e + 1u] = dot(a1, vec2f(q[first + e + 1u], q[first + pairOf(e + 1u)]));
    } else if (head < param.H + param.G) {
      let first = (row * param.G + head - param.H) * param.E;
      let at = cacheAt(b, head - param.H, t) + e;
      let x = dot(a0, vec2f(k[first + e], k[first + pairOf(e)]));
      let z = dot(a1, vec2f(k[first + e + 1u], k[first + pairOf(e + 1u)]));
      keys_put(at / 2u, held(vec2f(x, z)), at + 2u);
    } else {
      let g = head - param.H - param.G;
      let first = (row * param.G + g) * param.E + e;
      let at = cacheAt(b, g, t) + e;
      values_put(at / 2u, held(vec2f(v[first], v[first + 1u])), at + 2u);
    }
  }
}

// Two neighbouring numbers of head `item` of qkv to where they belong.
fn putTwo(item: u32, e: u32, x: vec2f) {
  let heads = param.H + 2u * param.G;
  let row = item / heads;
  let head = item % heads;
  if (head < param.H) {
    let at = (row * param.H + head) * param.E + e;
    q[at] = x.x;
    q[at + 1u] = x.y;
    return;
  }
  let at = cacheAt(row / param.T, (head - param.H) % param.G, row % param.T) + e;
  if (head < param.H + param.G) {
    keys_put(at / 2u, held(x), at + 2u);
  } else {
    values_put(at / 2u, held(x), at + 2u);
  }
}

@compute @workgroup_size(256)
fn ropeHeads(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let heads = param.H + 2u * param.G;
  let at = 2u * (rowOf(group) * 256u + lane);
  if (at >= param.B * param.T * heads * param.E) { return; }
  let item = at / param.E;
  let e = at % param.E;
  let first = item * param.E;
  var x = vec2f(qkv[at], qkv[at + 1u]);
  if (item % heads < param.H + param.G) {
    let row = item / heads;
    let place = u32(position[row / param.T]) + row % param.T;
    let paired = vec2f(qkv[first + pairOf(e)], qkv[first + pairOf(e + 1u)]);
    x = vec2f(
      dot(angleOf(e, place), vec2f(x.x, paired.x)),
      dot(angleOf(e + 1u, place), vec2f(x.y, paired.y)),
    );
  }
  putTwo(item, e, x);
}

@compute @workgroup_size(256)
fn splitHeads(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = 2u * (rowOf(group) * 256u + lane);
  if (at >= param.B * param.T * (param.H + 2u * param.G) * param.E) { return; }
  putTwo(at / param.E, at % param.E, vec2f(qkv[at], qkv[at + 1u]));
}
