// The sums of matmul_row.wgsl over the lanes, with subgroups where there are one or two: `gather` and
// `bySubgroups` stand for those of that file where subgroups are in use (ops/shared/features.ts).

const bySubgroups = panels * rows <= 2u;

// Leaves the sums over a subgroup in its place, of lanes of either half apart.
fn leaveSubgroup(halves: mat2x4f, a: u32, lane: u32, place: u32) {
  let isOdd = (lane & 1u) == 1u;
  let even = mat2x4f(select(halves[0], vec4f(), isOdd), select(halves[1], vec4f(), isOdd));
  let odd = halves - even;
  let quarters = mat4x4f(
    subgroupAdd(even[0]),
    subgroupAdd(even[1]),
    subgroupAdd(odd[0]),
    subgroupAdd(odd[1]),
  );
  if (lane == subgroupMin(lane)) {
    for (var q = 0u; q < 4u; q++) { partial[place * slots + 4u * a + q] = quarters[q]; }
  }
}

// The same by subgroups for one or two sums; for more of them memory is as quick.
fn gather(lane: u32) -> u32 {
  if (!bySubgroups) {
    for (var a = 0u; a < panels * rows; a++) { leave(sums[a], a, lane); }
    if (isNormed) { leave(mat2x4f(squares, vec4f()), panels * rows, lane); }
    return 16u;
  }
  let place = placeOfSubgroup(lane);
  for (var a = 0u; a < panels * rows; a++) { leaveSubgroup(sums[a], a, lane, place.x); }
  if (isNormed) {
    leaveSubgroup(mat2x4f(squares, vec4f()), panels * rows, lane, place.x);
  }
  workgroupBarrier();
  return place.y;
}
