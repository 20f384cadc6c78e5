// With u = (x − mean)·rstd and g = dy·w: dx = rstd·(g − mean(g) − u·mean(g·u)), dw = Σ dy·u and db = Σ dy
// in blocks of 16 rows. Parallel plan: a workgroup a block of 16 rows; first 16 lanes a row for the means,
// then a lane every 256th four columns of all rows. Bytes: x and dy from memory once, again from cache, dx once.

// mean, rstd, mean(g) and mean(g·u) of each row.
var<workgroup> ofRow: array<vec4f, 16>;

// The sum over the 16 lanes that share a row, in all of them.
fn sumOf16(value: f32, lane: u32) -> f32 {
  lanes[lane] = value;
  workgroupBarrier();
  var total = 0.0;
  let first = lane / 16u * 16u;
  for (var i = 0u; i < 16u; i++) { total += lanes[first + i]; }
  workgroupBarrier();
  return total;
}

fn measure(r: u32, lane: u32) {
  let row = min(16u * r + lane / 16u, param.N - 1u) * param.D;
  let count = f32(param.D);
  let start = lane % 16u * 4u;
  var part = 0.0;
  for (var i = start; i < param.D; i += 64u) {
    part += dot(below(x_four(row + i), i, param.D, 0.0), vec4f(1.0));
  }
  let mean = sumOf16(part, lane) / count;
  part = 0.0;
  for (var i = start; i < param.D; i += 64u) {
    let centred = below(x_four(row + i) - mean, i, param.D, 0.0);
    part += dot(centred, centred);
  }
  let rstd = 1.0 / sqrt(sumOf16(part, lane) / count + param.eps);
  var sums = vec2f();
  for (var i = start; i < param.D; i += 64u) {
    let g = below(dy_four(row + i) * w_four(i), i, param.D, 0.0);
    let centred = below(x_four(row + i) - mean, i, param.D, 0.0);
    sums += vec2f(dot(g, vec4f(1.0)), dot(g, centred));
  }
  let meanG = sumOf16(sums.x, lane) / count;
  let meanGu = sumOf16(sums.y, lane) * rstd / count;
  if (lane % 16u == 0u) { ofRow[lane / 16u] = vec4f(mean, rstd, meanG, meanGu); }
  workgroupBarrier();
}

@compute @workgroup_size(256)
fn layerNormGrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let r = rowOf(group);
  if (r >= param.R) { return; }
  measure(r, lane);
  for (var i = 4u * lane; i < param.D; i += 1024u) {
    var dw = vec4f();
    var db = vec4f();
    for (var n = 16u * r; n < min(param.N, 16u * r + 16u); n++) {
      let at = n * param.D + i;
      let own = ofRow[n % 16u];
      let d = dy_four(at);
      let unit = (x_four(at) - own.x) * own.y;
      dw += d * unit;
      db += d;
      dx_setFour(at, own.y * (d * w_four(i) - own.z - unit * own.w), at - i + param.D);
    }
    dwParts_setFour(r * param.D + i, dw, (r + 1u) * param.D);
    dbParts_setFour(r * param.D + i, db, (r + 1u) * param.D);
  }
}
