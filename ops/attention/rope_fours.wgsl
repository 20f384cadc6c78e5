// rope.wgsl and rope_train.wgsl for heads of a multiple of 8 numbers. Parallel plan: a workgroup has
// as many heads side by side as 256 lanes hold, a lane four numbers of one; backward a workgroup 16
// rows of qkv, and all their heads in turns. Bytes: everything once, the pairs once more from cache.

// Constants (rope.ts): `width`, the fours of a head; `side`, how many heads are side by side.

var<workgroup> products: array<vec2f, 256>;

// Sums over the lanes of a head; a barrier must follow before the next.
fn headSums(value: vec2f, lane: u32) -> vec2f {
  products[lane] = value;
  workgroupBarrier();
  let first = lane / width * width;
  var total = vec2f();
  for (var i = 0u; i < width; i++) { total += products[min(first + i, 255u)]; }
  return total;
}

fn weightFour(head: u32, e: u32) -> vec4f {
  if (head < param.H) { return qNorm[e]; }
  return kNorm[e];
}

// Four numbers of a head and those they pair with, turned to a place; or back, `turn` -1.
fn turnFour(x: vec4f, paired: vec4f, e: u32, place: u32, turn: f32) -> vec4f {
  let half = width / 2u;
  let slant = select(turn, -turn, e < half) * angles[place * width + half + e % half];
  return x * angles[place * width + e % half] + paired * slant;
}

fn pairFour(e: u32) -> u32 {
  return select(e - width / 2u, e + width / 2u, e < width / 2u);
}

// The lane's four numbers of row-head `item` of qkv, normalized and turned to `place`; values as
// they are.
fn turnedHead(item: u32, place: u32, lane: u32) -> vec4f {
  let e = lane % width;
  let known = item < param.B * param.T * (param.H + 2u * param.G) && lane / width < side;
  var x = vec4f();
  if (known) { x = qkv[item * width + e]; }
  let squares = headSums(vec2f(dot(x, x), 0.0), lane).x;
  let head = item % (param.H + 2u * param.G);
  if (!known || head >= param.H + param.G) { return x; }
  let pair = pairFour(e);
  let paired = qkv[item * width + pair] * weightFour(head, pair);
  let rstd = 1.0 / sqrt(squares / f32(param.E) + param.eps);
  return turnFour(x * weightFour(head, e), paired, e, place, 1.0) * rstd;
}

@compute @workgroup_size(256)
fn qkNormRopeFours(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let heads = param.H + 2u * param.G;
  let item = rowOf(group) * side + lane / width;
  let row = min(item / heads, param.B * param.T - 1u);
  let b = row / param.T;
  let place = u32(position[b]) + row % param.T;
  let four = turnedHead(item, place, lane);
  if (item >= param.B * param.T * heads || lane / width >= side) { return; }
  let head = item % heads;
  if (head < param.H) {
    q[(row * param.H + head) * width + lane % width] = four;
    return;
  }
  let at = ((b * param.G + (head - param.H) % param.G) * param.S + place) * width + lane % width;
  if (head < param.H + param.G) { keys_put(at, kept(four)); } else { values_put(at, kept(four)); }
}

@compute @workgroup_size(256)
fn qkNormRopeTrainFours(
  @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32,
) {
  let heads = param.H + 2u * param.G;
  let item = rowOf(group) * side + lane / width;
  let row = item / heads;
  let four = turnedHead(item, row % param.T, lane);
  if (item >= param.B * param.T * heads || lane / width >= side) { return; }
  let head = item % heads;
  let g = row / param.T * param.G + (head - param.H) % param.G;
  let at = (g * param.T + row % param.T) * width + lane % width;
  if (head < param.H) {
    q[(row * param.H + head) * width + lane % width] = four;
  } else if (head < param.H + param.G) {
    keys[at] = four;
  } else {
    values[at] = four;
  }
}

// What one lane adds to the gradient of qNorm, and of kNorm.
var<workgroup> gradFours: array<vec4f, 256>;

// Where a head of row `row` begins in dq, dKeys or dValues.
fn cotangentFour(row: u32, head: u32) -> u32 {
  if (head < param.H) { return (row * param.H + head) * width; }
  let g = row / param.T * param.G + (head - param.H) % param.G;
  return (g * param.T + row % param.T) * width;
}

// The cotangent of a normalized head, turned back.
fn turnedBack(row: u32, head: u32, e: u32) -> vec4f {
  let t = row % param.T;
  let at = cotangentFour(row, head);
  let pair = at + pairFour(e);
  if (head < param.H) { return turnFour(dq[at + e], dq[pair], e, t, -1.0); }
  return turnFour(dKeys[at + e], dKeys[pair], e, t, -1.0);
}

// Sum over the heads side by side, in the lanes of the first.
fn sumHeads(x: vec4f, lane: u32) -> vec4f {
  workgroupBarrier();
  gradFours[lane] = x;
  workgroupBarrier();
  var total = vec4f();
  for (var i = lane % width; i < side * width; i += width) { total += gradFours[i]; }
  return total;
}

@compute @workgroup_size(256)
fn qkNormRopeTrainGradFours(
  @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32,
) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  let heads = param.H + 2u * param.G;
  let e = lane % width;
  var forQueries = vec4f();
  var forKeys = vec4f();
  for (var row = 16u * r; row < min(param.B * param.T, 16u * r + 16u); row++) {
    for (var start = 0u; start < heads; start += side) {
      let head = start + lane / width;
      let known = head < heads && lane / width < side;
      let turned = known && head < param.H + param.G;
      let at = (row * heads + head) * width + e;
      var x = vec4f();
      var d = vec4f();
      if (turned) {
        x = qkv[at];
        d = turnedBack(row, head, e);
      }
      let sums = headSums(vec2f(dot(x, x), dot(d * weightFour(head, e), x)), lane);
      let rstd = 1.0 / sqrt(sums.x / f32(param.E) + param.eps);
      let unit = x * rstd;
      if (turned) {
        dqkv[at] = rstd * (d * weightFour(head, e) - unit * (sums.y * rstd / f32(param.E)));
      } else if (known) {
        dqkv[at] = dValues[cotangentFour(row, head) + e];
      }
      if (head < param.H) { forQueries += d * unit; } else { forKeys += d * unit; }
      workgroupBarrier();
    }
  }
  let queries = sumHeads(forQueries, lane);
  let all = sumHeads(forKeys, lane);
  if (lane >= width) { return; }
  dqParts[r * width + e] = queries;
  dkParts[r * width + e] = all;
}
