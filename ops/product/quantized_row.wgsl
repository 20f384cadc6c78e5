// Up to eight rows times panels of quantized weights (quantized_pack.ts says what blocks hold), the
// weights widened to f32. Parallel plan: that of matmul_row.wgsl, with a quarter of a block for one k:
// eight numbers of eight outputs, 16 bytes at a time. Bytes: the blocks once.

// A block has `vectors` of 16 bytes, its scales from `scalesAt` on (quantized_pack.ts).

// Place among the row's numbers of number j of quarter u.
fn placeOf(u: u32, j: u32) -> u32 {
  let first = u / 4u * 32u;
  if (isBytes == 1u) { return first + j / 2u * 8u + u % 4u * 2u + j % 2u; }
  return first + u % 4u * 8u + j;
}

fn numberAt(m: u32, k: u32) -> f32 {
  if (k >= param.K) { return 0.0; }
  return inputAt(m, k);
}

fn eightAt(m: u32, u: u32) -> mat2x4f {
  return mat2x4f(
    numberAt(m, placeOf(u, 0u)),
    numberAt(m, placeOf(u, 1u)),
    numberAt(m, placeOf(u, 2u)),
    numberAt(m, placeOf(u, 3u)),
    numberAt(m, placeOf(u, 4u)),
    numberAt(m, placeOf(u, 5u)),
    numberAt(m, placeOf(u, 6u)),
    numberAt(m, placeOf(u, 7u)),
  );
}

// Even and odd outputs in their order.
fn inOrder(even: vec4f, odd: vec4f) -> mat2x4f {
  return mat2x4f(vec4f(even.x, odd.x, even.y, odd.y), vec4f(even.z, odd.z, even.w, odd.w));
}

// The scales of half a block that begins at vector `block`.
fn scalesOf(block: u32, half: u32) -> mat2x4f {
  let at = block + scalesAt;
  if (isWide == 1u) {
    return mat2x4f(bitcast<vec4f>(w_at(at + 2u * half)), bitcast<vec4f>(w_at(at + 2u * half + 1u)));
  }
  return eightBrains(w_at(at + half));
}

// Numbers 2j and 2j + 1 of a quarter in q8: those of even outputs, then those of odd ones.
fn wholePairs(words: vec4u) -> array<vec4f, 4> {
  let signed = bitcast<vec4i>(words);
  return array<vec4f, 4>(
    vec4f((signed << vec4u(24u)) >> vec4u(24u)),
    vec4f((signed << vec4u(16u)) >> vec4u(24u)),
    vec4f((signed << vec4u(8u)) >> vec4u(24u)),
    vec4f(signed >> vec4u(24u)),
  );
}

// The products of a quarter of a block in q8 and the rows, in panel i of the workgroup's.
fn addQuarter8(i: u32, block: u32, u: u32, half: u32, numbers: array<mat2x4f, rows>) {
  var even: array<vec4f, rows>;
  var odd: array<vec4f, rows>;
  for (var j = 0u; j < 4u; j++) {
    let four = wholePairs(w_at(block + 8u * j + u % 4u * 2u + half));
    for (var m = 0u; m < rows; m++) {
      let eight = numbers[m];
      let a = eight[j / 2u][j % 2u * 2u];
      let b = eight[j / 2u][j % 2u * 2u + 1u];
      even[m] += a * four[0] + b * four[1];
      odd[m] += a * four[2] + b * four[3];
    }
  }
  let scales = scalesOf(block, half);
  for (var m = 0u; m < rows; m++) {
    let all = inOrder(even[m], odd[m]);
    sums[i * rows + m] += mat2x4f(all[0] * scales[0], all[1] * scales[1]);
  }
}

// The same in q4.
fn addQuarter4(i: u32, block: u32, u: u32, half: u32, numbers: array<mat2x4f, rows>) {
  let a = w_at(block + u % 4u * 4u + half * 2u);
  let b = w_at(block + u % 4u * 4u + half * 2u + 1u);
  var all: array<mat2x4f, rows>;
  for (var j = 0u; j < 8u; j++) {
    let shift = vec4u(j % 4u * 8u + j / 4u * 4u);
    let first = vec4f((a >> shift) & vec4u(15u)) - 8.0;
    let second = vec4f((b >> shift) & vec4u(15u)) - 8.0;
    for (var m = 0u; m < rows; m++) {
      let eight = numbers[m];
      all[m] += eight[j / 4u][j % 4u] * mat2x4f(first, second);
    }
  }
  let scales = scalesOf(block, half);
  for (var m = 0u; m < rows; m++) {
    sums[i * rows + m] += mat2x4f(all[m][0] * scales[0], all[m][1] * scales[1]);
  }
}

fn addWeights(p: u32, last: u32, lane: u32) {
  for (var u = lane / 2u; u < 4u * param.C; u += width / 2u) {
    var numbers: array<mat2x4f, rows>;
    for (var m = 0u; m < rows; m++) { numbers[m] = eightAt(m, u); }
    for (var i = 0u; i < panels; i++) {
      let block = (min(p + i, last) * param.C + u / 4u) * vectors;
      if (isBytes == 1u) {
        addQuarter8(i, block, u, lane & 1u, numbers);
      } else {
        addQuarter4(i, block, u, lane & 1u, numbers);
      }
    }
  }
}
