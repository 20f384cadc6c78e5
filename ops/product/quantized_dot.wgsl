// Up to eight rows times panels of quantized weights in whole numbers: rows are rounded to 127 steps for
// the largest of 32 neighbours, as quantized_round.as.ts does, and multiplied by dot products of four
// bytes. Parallel plan: that of quantized_row.wgsl; each workgroup rounds 2,048 numbers at a time for itself.

// Fours of neighbours that each row has of these, of one, two or four rows, and a lane of all.
const rowFours = 512u / select(rows, 4u, rows == 3u);
const rounds = 512u / width;

// Of four neighbours of a row: bits of the largest magnitude, and all of them rounded; row by row.
var<workgroup> largest: array<u32, 512>;
var<workgroup> rounded: array<u32, 512>;

// What a step of the rounded numbers is, by 32 of them.
var<workgroup> steps: array<f32, 64>;

const visits = 1.0;

fn fourAt(m: u32, k: u32) -> vec4f {
  return vec4f(numberAt(m, k), numberAt(m, k + 1u), numberAt(m, k + 2u), numberAt(m, k + 3u));
}

// The largest magnitude of four numbers, as bits, among which NaN is above all.
fn largestOf(four: vec4f) -> u32 {
  let bits = bitcast<vec4u>(four) & vec4u(0x7fffffffu);
  return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

// Four numbers in 127 steps for the largest of 32, as bytes.
fn roundedFour(four: vec4f, most: f32) -> u32 {
  let factor = select(127.0 / most, 0.0, most < 1e-36);
  return pack4xI8(vec4i(round(four * factor)));
}

// Rounds the rows' numbers from `start` on.
fn roundRows(start: u32, lane: u32) {
  var fours: array<vec4f, rounds>;
  for (var i = 0u; i < rounds; i++) {
    // The same row for all lanes, which are no more than it has fours.
    let m = i * width / rowFours;
    if (m < rows) { fours[i] = fourAt(m, start + 4u * ((lane + i * width) % rowFours)); }
    largest[lane + i * width] = largestOf(fours[i]);
  }
  workgroupBarrier();
  for (var i = 0u; i < rounds; i++) {
    let at = lane + i * width;
    let first = at / 8u * 8u;
    var bits = 0u;
    for (var j = 0u; j < 8u; j++) { bits = max(bits, largest[first + j]); }
    let most = bitcast<f32>(bits);
    rounded[at] = roundedFour(fours[i], most);
    if (at == first) { steps[at / 8u] = most / 127.0; }
  }
  workgroupBarrier();
}

fn dots(words: vec4u, x: u32) -> vec4i {
  return vec4i(
    dot4I8Packed(words.x, x),
    dot4I8Packed(words.y, x),
    dot4I8Packed(words.z, x),
    dot4I8Packed(words.w, x),
  );
}

// The products of quarter q of a block of q8, eight outputs, and block c of the rounded rows.
fn products8(block: u32, c: u32, q: u32, half: u32) -> array<mat2x4f, rows> {
  var even: array<vec4i, rows>;
  var odd: array<vec4i, rows>;
  for (var j = 0u; j < 4u; j++) {
    let words = w_at(block + 8u * j + q * 2u + half);
    for (var m = 0u; m < rows; m++) {
      // A word has two numbers of an even output in its lower half, of an odd one in its upper half.
      let two = rounded[m * rowFours + c * 8u + 2u * j + q / 2u] >> (q % 2u * 16u);
      even[m] += dots(words, two & 0xffffu);
      odd[m] += dots(words, two << 16u);
    }
  }
  var all: array<mat2x4f, rows>;
  for (var m = 0u; m < rows; m++) { all[m] = inOrder(vec4f(even[m]), vec4f(odd[m])); }
  return all;
}

// The same of q4, whose numbers are stored with 8 added to them.
fn products4(block: u32, c: u32, q: u32, half: u32) -> array<mat2x4f, rows> {
  let mask = vec4u(0x0f0f0f0fu);
  let a = w_at(block + q * 4u + half * 2u);
  let b = w_at(block + q * 4u + half * 2u + 1u);
  var all: array<mat2x4f, rows>;
  for (var m = 0u; m < rows; m++) {
    let x = rounded[m * rowFours + c * 8u + 2u * q];
    let z = rounded[m * rowFours + c * 8u + 2u * q + 1u];
    let least = vec4i(-8 * (dot4I8Packed(x, 0x01010101u) + dot4I8Packed(z, 0x01010101u)));
    all[m] = mat2x4f(
      vec4f(least + dots(a & mask, x) + dots((a >> vec4u(4u)) & mask, z)),
      vec4f(least + dots(b & mask, x) + dots((b >> vec4u(4u)) & mask, z)),
    );
  }
  return all;
}

fn addWeights(p: u32, last: u32, lane: u32) {
  for (var start = 0u; start < param.K; start += 4u * rowFours) {
    roundRows(start, lane);
    let count = 4u * min(param.C - start / 32u, rowFours / 8u);
    for (var u = lane / 2u; u < count; u += width / 2u) {
      for (var i = 0u; i < panels; i++) {
        let block = (min(p + i, last) * param.C + (start + u * 8u) / 32u) * vectors;
        let half = lane & 1u;
        var all: array<mat2x4f, rows>;
        if (isBytes == 1u) {
          all = products8(block, u / 4u, u % 4u, half);
        } else {
          all = products4(block, u / 4u, u % 4u, half);
        }
        let scales = scalesOf(block, half);
        for (var m = 0u; m < rows; m++) {
          let both = steps[(m * rowFours + u / 4u * 8u) / 8u] * scales;
          sums[i * rows + m] += mat2x4f(all[m][0] * both[0], all[m][1] * both[1]);
        }
      }
    }
    workgroupBarrier();
  }
}
