// One row times panels of quantized weights in whole numbers: the row is rounded to 127 steps for the
// largest of 32 neighbours, as quantized_row.as.ts does, and multiplied by dot products of four bytes.
// Parallel plan: that of quantized_row.wgsl; each workgroup rounds 2,048 numbers at a time for itself.

const rounds = 512u / width;

// Of four neighbours of the row: bits of the largest magnitude, and all of them rounded.
var<workgroup> largest: array<u32, 512>;
var<workgroup> rounded: array<u32, 512>;

// What a step of the rounded numbers is, by 32 of them.
var<workgroup> steps: array<f32, 64>;

const visits = 1.0;

fn fourAt(k: u32) -> vec4f {
  return vec4f(numberAt(0u, k), numberAt(0u, k + 1u), numberAt(0u, k + 2u), numberAt(0u, k + 3u));
}

// Rounds the row's numbers from `start` on.
fn roundRow(start: u32, lane: u32) {
  var fours: array<vec4f, rounds>;
  for (var i = 0u; i < rounds; i++) {
    fours[i] = fourAt(start + 4u * (lane + i * width));
    // Among bits NaN is above all.
    let bits = bitcast<vec4u>(fours[i]) & vec4u(0x7fffffffu);
    largest[lane + i * width] = max(max(bits.x, bits.y), max(bits.z, bits.w));
  }
  workgroupBarrier();
  for (var i = 0u; i < rounds; i++) {
    let at = lane + i * width;
    let first = at / 8u * 8u;
    var bits = 0u;
    for (var j = 0u; j < 8u; j++) { bits = max(bits, largest[first + j]); }
    let most = bitcast<f32>(bits);
    let factor = select(127.0 / most, 0.0, most < 1e-36);
    rounded[at] = pack4xI8(vec4i(round(fours[i] * factor)));
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

// Quarter q of a block of q8 times block c of the rounded numbers, eight outputs.
fn quarter8(block: u32, c: u32, q: u32, half: u32) -> mat2x4f {
  var even = vec4i();
  var odd = vec4i();
  for (var j = 0u; j < 4u; j++) {
    let words = w_at(block + 8u * j + q * 2u + half);
    // A word has two numbers of an even output in its lower half, of an odd one in its upper half.
    let x = (rounded[c * 8u + 2u * j + q / 2u] >> (q % 2u * 16u)) & 0xffffu;
    even += dots(words, x);
    odd += dots(words, x << 16u);
  }
  return inOrder(vec4f(even), vec4f(odd));
}

// The same of q4, whose numbers are stored with 8 added to them.
fn quarter4(block: u32, c: u32, q: u32, half: u32) -> mat2x4f {
  let x = rounded[c * 8u + 2u * q];
  let z = rounded[c * 8u + 2u * q + 1u];
  let least = vec4i(-8 * (dot4I8Packed(x, 0x01010101u) + dot4I8Packed(z, 0x01010101u)));
  let mask = vec4u(0x0f0f0f0fu);
  let a = w_at(block + q * 4u + half * 2u);
  let b = w_at(block + q * 4u + half * 2u + 1u);
  return mat2x4f(
    vec4f(least + dots(a & mask, x) + dots((a >> vec4u(4u)) & mask, z)),
    vec4f(least + dots(b & mask, x) + dots((b >> vec4u(4u)) & mask, z)),
  );
}

fn addWeights(p: u32, last: u32, lane: u32) {
  for (var start = 0u; start < param.K; start += 2048u) {
    roundRow(start, lane);
    let count = 4u * min(param.C - start / 32u, 64u);
    for (var u = lane / 2u; u < count; u += width / 2u) {
      for (var i = 0u; i < panels; i++) {
        let block = (min(p + i, last) * param.C + (start + u * 8u) / 32u) * vectors;
        let half = lane & 1u;
        var all: mat2x4f;
        if (isBytes == 1u) {
          all = quarter8(block, u / 4u, u % 4u, half);
        } else {
          all = quarter4(block, u / 4u, u % 4u, half);
        }
        let scales = steps[u / 4u] * scalesOf(block, half);
        sums[i] += mat2x4f(all[0] * scales[0], all[1] * scales[1]);
      }
    }
    workgroupBarrier();
  }
}
