// Up to eight rows times panels of weights, up to four in one pass over the weights. Parallel plan: a
// workgroup a panel or two, K over its lanes by twos: a lane takes eight outputs of every k that falls
// to it, so that neighbours read neighbouring 16 bytes (32 in f32), four k's in flight at a time. Where
// panels are few the workgroup is large. Bytes: the weights once or twice, the rows for each workgroup.

// Constants (kernels.ts): `rows` by `panels` are a workgroup's, which has `width` lanes.

// Sums of half a panel: of row m of panel i at i · rows + m.
var<private> sums: array<mat2x4f, panels * rows>;

// Sums of squares of up to four rows.
var<private> squares: vec4f;

// Vectors that a part of the workgroup leaves: quarters of panels, then those of the squares.
const slots = 4u * panels * rows + select(0u, 4u, isNormed);

// Whether subgroups add up, of four lanes at the least; else sixteen parts, through memory.
const bySubgroups = false;

// What parts of the workgroup have summed up, `slots` for each.
var<workgroup> partial: array<vec4f, select(16u, width / 4u, bySubgroups) * slots>;

var<workgroup> column: array<vec4f, select(2u * width, 2u, bySubgroups)>;

// The first of the workgroup's rows.
var<private> firstRow: u32;

// Where the workgroup's row m begins in x; beyond the last row, where that one does.
fn rowAt(m: u32) -> u32 {
  return min(firstRow + m, param.M - 1u) * param.K;
}

// Number k of row m.
fn inputAt(m: u32, k: u32) -> f32 {
  return x[rowAt(m) + k];
}

// What the results of row m are multiplied by.
fn rowScale(m: u32, parts: u32) -> f32 {
  return 1.0;
}

const isNormed = false;

// Adds k, k + width / 2, … k + 3·width / 2 of half a panel to the sums.
fn addFour(p: u32, last: u32, k: u32, half: u32) {
  let stride = width / 2u;
  var four: array<vec4f, rows>;
  for (var m = 0u; m < rows; m++) {
    four[m] = vec4f(
      inputAt(m, k),
      inputAt(m, k + stride),
      inputAt(m, k + 2u * stride),
      inputAt(m, k + 3u * stride),
    );
  }
  for (var i = 0u; i < panels; i++) {
    let at = (min(p + i, last) * param.K + k) * 2u + half;
    let a = w_half(at);
    let b = w_half(at + width);
    let c = w_half(at + 2u * width);
    let d = w_half(at + 3u * width);
    for (var m = 0u; m < rows; m++) {
      let v = four[m];
      sums[i * rows + m] += v.x * a + v.y * b + v.z * c + v.w * d;
    }
  }
}

// Adds half `lane & 1` of panels from p on, of which `last` is the last, for the lane's k's.
fn addWeights(p: u32, last: u32, lane: u32) {
  let stride = width / 2u;
  var k = lane / 2u;
  for (; k + 3u * stride < param.K; k += 4u * stride) { addFour(p, last, k, lane & 1u); }
  for (; k < param.K; k += stride) {
    var one: array<f32, rows>;
    for (var m = 0u; m < rows; m++) { one[m] = inputAt(m, k); }
    for (var i = 0u; i < panels; i++) {
      let a = w_half((min(p + i, last) * param.K + k) * 2u + (lane & 1u));
      for (var m = 0u; m < rows; m++) { sums[i * rows + m] += one[m] * a; }
    }
  }
}

// Leaves the sums over sixteen parts of the workgroup in four slots from 4a on.
fn leave(halves: mat2x4f, a: u32, lane: u32) {
  column[2u * lane] = halves[0];
  column[2u * lane + 1u] = halves[1];
  workgroupBarrier();
  if (lane < 64u) {
    var all = vec4f();
    for (var i = lane; i < 2u * width; i += 64u) { all += column[i]; }
    partial[lane / 4u * slots + 4u * a + lane % 4u] = all;
  }
  workgroupBarrier();
}

// Sums over the lanes of parts of the workgroup; returns how many parts there are.
fn gather(lane: u32) -> u32 {
  for (var a = 0u; a < panels * rows; a++) { leave(sums[a], a, lane); }
  if (isNormed) { leave(mat2x4f(squares, vec4f()), panels * rows, lane); }
  return 16u;
}

// Result number o of sum a, over the parts.
fn total(a: u32, o: u32, parts: u32) -> f32 {
  var all = 0.0;
  for (var i = 0u; i < parts; i++) { all += partial[i * slots + 4u * a + o / 4u][o % 4u]; }
  return all * rowScale(a % rows, parts);
}

// Adds up everything for a workgroup's rows and panels, the first of which it returns, with the number
// of parts that `total` takes.
fn addAll(group: vec3u, across: u32, last: u32, lane: u32) -> vec2u {
  let p = panels * (rowOf(group) % across);
  firstRow = rows * (rowOf(group) / across);
  addWeights(p, last, lane);
  return vec2u(p, gather(lane));
}

// y = x Wᵀ
fn rowProduct(group: vec3u, lane: u32) {
  let got = addAll(group, (param.P + panels - 1u) / panels, param.P - 1u, lane);
  let a = lane / 16u;
  let m = firstRow + a % rows;
  let o = 16u * (got.x + a / rows) + lane % 16u;
  if (a >= panels * rows || m >= param.M || o >= param.N) { return; }
  y[m * param.N + o] = total(a, lane % 16u, got.y);
}

// r += x Wᵀ
fn rowProductAdd(group: vec3u, lane: u32) {
  let got = addAll(group, (param.P + panels - 1u) / panels, param.P - 1u, lane);
  let a = lane / 16u;
  let m = firstRow + a % rows;
  let o = 16u * (got.x + a / rows) + lane % 16u;
  if (a >= panels * rows || m >= param.M || o >= param.N) { return; }
  r[m * param.N + o] += total(a, lane % 16u, got.y);
}

// y = silu(g) v for a panel of gates g and one of values v.
fn rowProductGated(group: vec3u, lane: u32) {
  let got = addAll(group, param.P, 2u * param.P - 1u, lane);
  let a = lane / 16u;
  let m = firstRow + a;
  let o = 8u * got.x + lane % 16u;
  if (a >= rows || m >= param.M || o >= param.F) { return; }
  let gate = total(a, lane % 16u, got.y);
  y[m * param.F + o] = silu(gate) * total(rows + a, lane % 16u, got.y);
}
