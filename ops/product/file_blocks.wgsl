// Rows of GGUF's blocks into panels (file_blocks.ts). Parallel plan: a workgroup a panel; a lane takes
// words of its blocks, whose numbers it gathers byte by byte. Bytes: the rows once, the panels once.

// Byte i of x.
fn byteOf(i: u32) -> u32 { return (x[i / 4u] >> (8u * (i & 3u))) & 255u; }

// Where in x the block c of output n of panel p begins; beyond the last one where there is none.
fn rowBlock(p: u32, n: u32, c: u32) -> u32 {
  let rows = param.N / param.Halves;
  let row = (p / param.Halves) * 16u + n;
  if (row >= rows) { return param.N * param.C * param.B; }
  return (((p % param.Halves) * rows + row) * param.C + c) * param.B;
}

// Word i of the numbers of a block: pairs of two outputs, or eight halves of one.
fn numbersWord(p: u32, c: u32, i: u32) -> u32 {
  let none = param.N * param.C * param.B;
  var word = 0u;
  if (isBytes == 1u) {
    for (var j = 0u; j < 4u; j++) {
      let at = rowBlock(p, i % 8u * 2u + j / 2u, c);
      if (at < none) { word |= byteOf(at + 2u + i / 8u * 2u + j % 2u) << (8u * j); }
    }
    return word;
  }
  let at = rowBlock(p, i % 16u, c);
  if (at >= none) { return 0u; }
  let eight = i / 16u;
  for (var j = 0u; j < 4u; j++) {
    let first = at + 2u + eight % 2u * 8u + j;
    let shift = eight / 2u * 4u;
    word |= ((byteOf(first) >> shift) & 15u) << (8u * j);
    word |= ((byteOf(first + 4u) >> shift) & 15u) << (8u * j + 4u);
  }
  return word;
}

// Bits of f32 of a half, what is not finite too.
fn widenedHalf(bits: u32) -> u32 {
  let sign = (bits & 0x8000u) << 16u;
  let exponent = (bits >> 10u) & 31u;
  let fraction = bits & 1023u;
  if (exponent == 31u) { return sign | 0x7f800000u | (fraction << 13u); }
  if (exponent > 0u) { return sign | ((exponent + 112u) << 23u) | (fraction << 13u); }
  return sign | bitcast<u32>(f32(fraction) * 0x1p-24f);
}

@compute @workgroup_size(256)
fn panelBlocks(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let p = rowOf(group);
  if (p >= param.P) { return; }
  let words = param.Z / 4u;
  let scales = 4u * scalesAt;
  let none = param.N * param.C * param.B;
  var spoilt = 0.0;
  for (var i = lane; i < param.C * words; i += 256u) {
    let c = i / words;
    let inBlock = i % words;
    var word = 0u;
    if (inBlock < scales) {
      word = numbersWord(p, c, inBlock);
    } else {
      let at = rowBlock(p, inBlock - scales, c);
      if (at < none) { word = widenedHalf(byteOf(at) | (byteOf(at + 1u) << 8u)); }
      spoilt += 32.0 * f32((word & 0x7f800000u) == 0x7f800000u);
    }
    w[p * param.C * words + i] = word;
  }
  let total = groupSum(spoilt, lane);
  if (lane == 0u) { bad[p] = total; }
}
