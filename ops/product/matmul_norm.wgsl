// The norm before a product: numbers are multiplied by the norm's weight n as they are read, and
// their squares added up on the way; the results are multiplied by 1 / sqrt(mean square + eps).

const isNormed = true;

// Lanes that read the same number, and so add its square.
const visits = 2.0;

fn inputAt(m: u32, k: u32) -> f32 {
  let value = x[rowAt(m) + k];
  squares[m] += value * value;
  return value * n[k];
}

fn rowScale(m: u32, parts: u32) -> f32 {
  var all = 0.0;
  for (var i = 0u; i < parts; i++) {
    let quarters = (i + 1u) * slots - 4u;
    all += partial[quarters][m] + partial[quarters + 2u][m];
  }
  return scaleOfSquares(all / visits);
}

fn weighted(four: vec4f, k: u32) -> vec4f {
  return four * vec4f(n[k], n[k + 1u], n[k + 2u], n[k + 3u]);
}

fn scaleOfSquares(all: f32) -> f32 {
  return 1.0 / sqrt(all / f32(param.K) + param.eps);
}

// Squares of the lane's four rows of a tile.
var<private> tileSquares: vec4f;

fn tileRows(m: u32, k: u32) -> vec4f {
  let four = fourRows(m, k);
  tileSquares += four * four;
  return four * n[min(k, param.K - 1u)];
}

fn scaleTile(lane: u32) {
  keepFour(lane, tileSquares);
  workgroupBarrier();
  for (var i = 0u; i < tall; i++) {
    let row = (lane / 16u) * tall + i;
    var all = 0.0;
    for (var k = 0u; k < depth; k++) { all += keptNumber((row / 4u) * depth + k, row % 4u); }
    let scale = scaleOfSquares(all);
    for (var q = 0u; q < quads; q++) { tile[i * quads + q] *= scale; }
  }
}
