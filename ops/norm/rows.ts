// What a naive RMSNorm is made of besides x² and rsqrt: one step per primitive, as a framework
// without a fused kernel would run it. Only the comparison of norms uses them.
import { op } from "../../engine/index.ts"
import { mul } from "../plain/elementwise.ts"
import { reshape } from "../plain/movement.ts"
import { mean } from "../plain/reduce.ts"

const cost = ({ N, D }: { N: number; D: number }) => ({ bytes: 8 * N * D, flops: N * D })
const cases = [
  { N: 1, D: 2048 },
  { N: 3, D: 31 },
  { N: 36, D: 65 },
] as const

/** y = mean x over the last axis.  x (N, D) → y (N) */
export const meanRows = op({
  name: "meanRows",
  sig: "x:(N,D) -> y:(N)",
  params: "N D",
  meaning: ({ x }, { N }) => reshape(mean(x), [N]),
  gpu: [{ from: ["norm/rows.wgsl"] }],
  norms: 1,
  rows: ({ N }) => N,
  cost,
  cases,
})

/** y = x·r, a number for each row.  x (N, D), r (N) → y (N, D) */
export const scaleRows = op({
  name: "scaleRows",
  sig: "x:(N,D) r:(N) -> y:(N,D)",
  params: "N D",
  meaning: ({ x, r }, { N }) => mul(x, reshape(r, [N, 1])),
  gpu: [{ from: ["norm/rows.wgsl"] }],
  rows: ({ N }) => N,
  cost,
  cases,
})

/** y = x·w, a number for each column.  x (N, D), w (D) → y (N, D) */
export const scaleColumns = op({
  name: "scaleColumns",
  sig: "x:(N,D) w:(D) -> y:(N,D)",
  params: "N D",
  meaning: ({ x, w }) => mul(x, w),
  gpu: [{ from: ["norm/rows.wgsl"] }],
  rows: ({ N }) => N,
  cost,
  cases,
})
