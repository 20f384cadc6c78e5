// Plain ops that move elements: a straight copy, a strided copy and its adjoint. Strides count
// elements, may be 0 or negative, and wrap as words do. Parallel plan: 4096 bytes (copy) or 1024
// elements of the dense side (restride) a workgroup; restrideAdd gives every element of the target
// a thread that finds what is added to it. Bytes: each side once.

@compute @workgroup_size(256)
fn copy(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let words = (param.Bytes + 3u) / 4u;
  let first = rowOf(group) * 1024u;
  for (var i = first + lane; i < min(words, first + 1024u); i += 256u) { y[i] = x[i]; }
}

// Place in the strided side of dense element i.
fn stridedOf(i: u32) -> u32 {
  var row = i;
  var at = param.Offset;
  at += (row % param.D5) * param.S5;
  row /= param.D5;
  at += (row % param.D4) * param.S4;
  row /= param.D4;
  at += (row % param.D3) * param.S3;
  row /= param.D3;
  at += (row % param.D2) * param.S2;
  row /= param.D2;
  at += (row % param.D1) * param.S1;
  return at + (row / param.D1) * param.S0;
}

@compute @workgroup_size(256)
fn restride(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = rowOf(group) * 1024u;
  for (var i = first + lane; i < min(param.N, first + 1024u); i += 256u) { y[i] = x[stridedOf(i)]; }
}

// The axes with more than one index, by falling size of their strides, which flipping has made
// positive; those with stride 0, `repeats` times each, by themselves. `dense` is the distance of
// neighbours in the dense side.
struct Axes {
  count: array<u32, 6>,
  stride: array<u32, 6>,
  dense: array<i32, 6>,
  used: u32,
  repeats: array<u32, 6>,
  repeatDense: array<u32, 6>,
  repeated: u32,
  offset: u32,
  start: i32,
  nested: bool,
}

fn axesOf() -> Axes {
  var counts = array<u32, 6>(param.D0, param.D1, param.D2, param.D3, param.D4, param.D5);
  var strides = array<u32, 6>(param.S0, param.S1, param.S2, param.S3, param.S4, param.S5);
  var a: Axes;
  a.offset = param.Offset;
  var dense = 1;
  for (var axis = 5; axis >= 0; axis--) {
    let n = counts[axis];
    var stride = bitcast<i32>(strides[axis]);
    var step = dense;
    dense *= i32(n);
    if (n < 2u) { continue; }
    if (stride == 0) {
      a.repeats[a.repeated] = n;
      a.repeatDense[a.repeated] = u32(step);
      a.repeated += 1u;
      continue;
    }
    if (stride < 0) {
      a.offset += u32(stride) * (n - 1u);
      a.start += step * i32(n - 1u);
      stride = -stride;
      step = -step;
    }
    var at = a.used;
    while (at > 0u && a.stride[at - 1u] < u32(stride)) {
      a.count[at] = a.count[at - 1u];
      a.stride[at] = a.stride[at - 1u];
      a.dense[at] = a.dense[at - 1u];
      at -= 1u;
    }
    a.count[at] = n;
    a.stride[at] = u32(stride);
    a.dense[at] = step;
    a.used += 1u;
  }
  a.nested = true;
  var reach = 0u;
  for (var i = i32(a.used) - 1; i >= 0; i--) {
    if (a.stride[i] <= reach) { a.nested = false; }
    reach += a.stride[i] * (a.count[i] - 1u);
  }
  return a;
}

// Sum of what is added to element `at`, where every element has one place among the used axes.
fn gathered(at: u32, axes: Axes) -> f32 {
  var a = axes;
  var rest = at - a.offset;
  if (at < a.offset || param.N == 0u) { return 0.0; }
  var origin = a.start;
  for (var i = 0u; i < a.used; i++) {
    let index = min(rest / a.stride[i], a.count[i] - 1u);
    rest -= index * a.stride[i];
    origin += i32(index) * a.dense[i];
  }
  if (rest != 0u) { return 0.0; }
  var total = 0.0;
  var part = 0.0;
  var all = 1u;
  for (var i = 0u; i < a.repeated; i++) { all *= a.repeats[i]; }
  for (var n = 0u; n < all; n++) {
    var row = n;
    var place = u32(origin);
    for (var i = 0u; i < a.repeated; i++) {
      place += (row % a.repeats[i]) * a.repeatDense[i];
      row /= a.repeats[i];
    }
    part += x[place];
    // Long sums in parts, which rounds less.
    if (n % 64u == 63u) {
      total += part;
      part = 0.0;
    }
  }
  return total + part;
}

@compute @workgroup_size(256)
fn restrideAdd(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let axes = axesOf();
  if (axes.nested) {
    let at = rowOf(group) * 256u + lane;
    if (at < param.Target) { y[at] = gathered(at, axes); }
    return;
  }
  // Windows that overlap: one thread adds them one after the other.
  if (rowOf(group) != 0u || lane != 0u) { return; }
  for (var i = 0u; i < param.Target; i++) { y[i] = 0.0; }
  for (var i = 0u; i < param.N; i++) { y[stridedOf(i)] += x[i]; }
}
