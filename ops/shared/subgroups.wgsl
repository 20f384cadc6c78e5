// Sums and maxima over the lanes of a workgroup of 256 with subgroups, of any size and in any order:
// every subgroup leaves its result where its first lane is, and then reduces all of them. groupSum and
// groupMax stand for those of math.wgsl where subgroups are in use (ops/shared/features.ts).

// Lanes of this subgroup.
fn laneCount() -> u32 {
  return subgroupAdd(1u);
}

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

var<workgroup> firsts: array<atomic<u32>, 8>;

// How many subgroups of the workgroup begin at a lower lane than this one, and how many there are.
fn placeOfSubgroup(lane: u32) -> vec2u {
  let first = subgroupMin(lane);
  if (lane == first) { atomicOr(&firsts[lane / 32u], 1u << (lane % 32u)); }
  workgroupBarrier();
  var place = vec2u();
  for (var i = 0u; i < 8u; i++) {
    let bits = atomicLoad(&firsts[i]);
    let below = select((1u << (first % 32u)) - 1u, 0xffffffffu, i < first / 32u);
    place += countOneBits(vec2u(select(bits & below, 0u, i > first / 32u), bits));
  }
  return place;
}
