// Many rows times quantized weights in whole numbers: rows are rounded as quantized_dot.wgsl rounds one,
// and multiplied by dot products of four bytes. Parallel plan: the tiles of matmul_tile.wgsl, a block of
// 32 numbers at a time, both sides of it as words in workgroup memory and the next one on its way in
// registers; a lane rounds 8 or 16 numbers of a row. Bytes: the weights once for a tile's rows, the rows
// once for a tile's panels.

const tileHeight = 16u * tall;

// Lanes that have a row's 32 numbers, and how many fours of them each has.
const sharers = 16u / tall;
const ownFours = tall / 2u;

// Fours of numbers of a block: those of one k for all rows, for all fours of outputs, side by side.
var<workgroup> rowWords: array<u32, 8u * tileHeight>;
var<workgroup> outputWords: array<vec4u, 8u * outputQuads>;

// What a step of them is, for each row, for each four of outputs.
var<workgroup> rowSteps: array<f32, tileHeight>;
var<workgroup> outputSteps: array<vec4f, outputQuads>;

// Of each lane's numbers: bits of the largest magnitude; in the end the sum of their squares.
var<workgroup> ofLanes: array<u32, 256>;

// What a lane has of the next block: numbers of its row; words of weights, and their steps.
var<private> rowAhead: array<vec4f, ownFours>;
var<private> wordsAhead: array<vec4u, 2>;
var<private> stepsAhead: vec4f;

// Of the lane's numbers of its row.
var<private> rowSquares: f32;

const isNormed = false;

// A norm's weight times four numbers from k on.
fn weighted(four: vec4f, k: u32) -> vec4f {
  return four;
}

// What a norm multiplies a row of this sum of squares by.
fn scaleOfSquares(all: f32) -> f32 {
  return 1.0;
}

fn rowFour(m: u32, k: u32) -> vec4f {
  if (m >= param.M || k >= param.K) { return vec4f(); }
  return below(x_four(m * param.K + k), k, param.K, 0.0);
}

// Two words of four outputs each from a vector of q4, whose numbers are stored with 8 added to them.
fn signedHalves(words: vec4u) -> array<vec4u, 2> {
  let mask = vec4u(0x0f0f0f0fu);
  let high = vec4u(0x80808080u);
  let eights = vec4u(0x08080808u);
  return array<vec4u, 2>(
    (((words & mask) | high) - eights) ^ high,
    ((((words >> vec4u(4u)) & mask) | high) - eights) ^ high,
  );
}

// One word of eight outputs from two vectors of q8, which have numbers two by two.
fn joinedPairs(a: vec4u, b: vec4u) -> array<vec4u, 2> {
  let even = (a & vec4u(0xffffu)) | (b << vec4u(16u));
  let odd = (a >> vec4u(16u)) | (b & vec4u(0xffff0000u));
  return array<vec4u, 2>(
    vec4u(even.x, odd.x, even.y, odd.y),
    vec4u(even.z, odd.z, even.w, odd.w),
  );
}

// Loads block c of the lane's row, of panels from p on, of `count` in all. Sixteen lanes have a panel's
// words: of q4 lane 4g + q has words 2g and 2g + 1 of quarter q, of q8 lane 2j + h word j of half h.
fn loadAhead(row: u32, p: u32, count: u32, c: u32, lane: u32) {
  for (var i = 0u; i < ownFours; i++) {
    let k = 32u * c + 4u * (lane % sharers * ownFours + i);
    let four = rowFour(row, k);
    rowSquares += dot(four, four);
    rowAhead[i] = weighted(four, k);
  }
  let panel = p + lane / 16u;
  wordsAhead = array<vec4u, 2>();
  if (lane / 16u < 4u * quads && panel < count) {
    let block = (panel * param.C + c) * vectors;
    if (isBytes == 1u) {
      let at = block + lane % 16u / 2u * 4u + lane % 2u;
      wordsAhead = joinedPairs(w_at(at), w_at(at + 2u));
    } else {
      wordsAhead = signedHalves(w_at(block + lane % 16u));
    }
  }
  stepsAhead = vec4f();
  if (lane < outputQuads && p + lane / 4u < count) {
    stepsAhead = fourScales(((p + lane / 4u) * param.C + c) * vectors + scalesAt, lane % 4u);
  }
}

// The largest magnitude that a lane has loaded.
fn largestAhead() -> u32 {
  var most = 0u;
  for (var i = 0u; i < ownFours; i++) { most = max(most, largestOf(rowAhead[i])); }
  return most;
}

// Leaves what was loaded as words, the row's numbers rounded; `ofLanes` has all lanes' largest.
fn keepAhead(lane: u32) {
  var bits = 0u;
  for (var i = 0u; i < sharers; i++) { bits = max(bits, ofLanes[lane / sharers * sharers + i]); }
  let most = bitcast<f32>(bits);
  let row = lane / sharers;
  for (var i = 0u; i < ownFours; i++) {
    rowWords[(lane % sharers * ownFours + i) * tileHeight + row] = roundedFour(rowAhead[i], most);
  }
  if (lane % sharers == 0u) { rowSteps[row] = most / 127.0; }
  if (lane < 16u * 4u * quads) {
    let panel = lane / 16u * 4u;
    let place = lane % 16u;
    if (isBytes == 1u) {
      let at = place / 2u * outputQuads + panel + place % 2u * 2u;
      outputWords[at] = wordsAhead[0];
      outputWords[at + 1u] = wordsAhead[1];
    } else {
      let at = place / 4u * 2u * outputQuads + panel + place % 4u;
      outputWords[at] = wordsAhead[0];
      outputWords[at + outputQuads] = wordsAhead[1];
    }
  }
  if (lane < outputQuads) { outputSteps[lane] = stepsAhead; }
}

// Adds the products of a block to the lane's results.
fn multiplyWords(lane: u32) {
  var whole: array<vec4i, tall * quads>;
  let first = lane / 16u * tall;
  for (var j = 0u; j < 8u; j++) {
    var words: array<vec4u, quads>;
    for (var q = 0u; q < quads; q++) {
      words[q] = outputWords[j * outputQuads + outputQuad(q, lane)];
    }
    for (var i = 0u; i < tall; i++) {
      let x = rowWords[j * tileHeight + first + i];
      for (var q = 0u; q < quads; q++) { whole[i * quads + q] += dots(words[q], x); }
    }
  }
  for (var q = 0u; q < quads; q++) {
    let steps = outputSteps[outputQuad(q, lane)];
    for (var i = 0u; i < tall; i++) {
      tile[i * quads + q] += rowSteps[first + i] * steps * vec4f(whole[i * quads + q]);
    }
  }
}

// The tile of rows from m on and panels from p on, of `count` in all.
fn tileProduct(m: u32, p: u32, count: u32, lane: u32) {
  let row = m + lane / sharers;
  loadAhead(row, p, count, 0u, lane);
  for (var c = 0u; c < param.C; c++) {
    ofLanes[lane] = largestAhead();
    workgroupBarrier();
    keepAhead(lane);
    workgroupBarrier();
    if (c + 1u < param.C) { loadAhead(row, p, count, c + 1u, lane); }
    multiplyWords(lane);
  }
  if (!isNormed) { return; }
  workgroupBarrier();
  ofLanes[lane] = bitcast<u32>(rowSquares);
  workgroupBarrier();
  for (var i = 0u; i < tall; i++) {
    var all = 0.0;
    for (var s = 0u; s < sharers; s++) {
      all += bitcast<f32>(ofLanes[(lane / 16u * tall + i) * sharers + s]);
    }
    let scale = scaleOfSquares(all);
    for (var q = 0u; q < quads; q++) { tile[i * quads + q] *= scale; }
  }
}
