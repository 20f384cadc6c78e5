// Sums and maxima over the lanes of a workgroup of 256 with subgroups, of any size and in any order:
// every subgroup leaves its result where its first lane is, and then reduces all of them.

// Lanes of this subgroup.
fn laneCount() -> u32 {
  return subgroupAdd(1u);
}

// with: subgroups
fn groupSum(value: f32, lane: u32) -> f32 {
  let sum = subgroupAdd(value);
  lanes[lane] = select(0.0, sum, lane == subgroupMin(lane));
  workgroupBarrier();
  let count = laneCount();
  var part = 0.0;
  for (var i = subgroupExclusiveAdd(1u); i < 256u; i += count) { part += lanes[i]; }
  let total = subgroupAdd(part);
  workgroupBarrier();
  return total;
}

// with: subgroups
fn groupMax(value: f32, lane: u32) -> f32 {
  let most = subgroupMax(value);
  lanes[lane] = select(lowest, most, lane == subgroupMin(lane));
  workgroupBarrier();
  let count = laneCount();
  var part = lowest;
  for (var i = subgroupExclusiveAdd(1u); i < 256u; i += count) { part = max(part, lanes[i]); }
  let top = subgroupMax(part);
  workgroupBarrier();
  return top;
}
