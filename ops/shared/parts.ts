// Gradients that many rows contribute to, in two steps: a kernel sums blocks of 16 rows each as it
// goes, whatever the number of threads, and sumParts adds the blocks. Kernel: parts.as.ts.
import { type Gradients, op, type Tensor } from "../../engine/index.ts"
import { broadcast, permute, reshape, spreadInto } from "../plain/movement.ts"
import { sumRows } from "../plain/reduce.ts"

/** Rows that are summed into one part. */
export const rowsPerPart = 16
/** Columns that one work item adds up. */
const columnsPerItem = 256

/** Parts of N rows. */
export const partsOf = (N: number): number => Math.ceil(N / rowsPerPart)

/** The sums of blocks of 16 rows in plain ops.  x (N, D) → (R, D), R = ⌈N/16⌉ */
export function sumBlocks(x: Tensor): Tensor {
  const [N, D] = x.shape as [number, number]
  const R = partsOf(N)
  const padded = spreadInto(x, [R * rowsPerPart, D], [D, 1]) // (16R, D)
  const blocks = permute(reshape(padded, [R, rowsPerPart, D]), [0, 2, 1]) // (R, D, 16)
  return reshape(sumRows(reshape(blocks, [R * D, rowsPerPart])), [R, D])
}

/** What is wrong with a number of parts R of N rows. */
export const wrongParts = (N: number, R: number): string | undefined =>
  R === partsOf(N) ? undefined : `${N} rows have ${partsOf(N)} parts, not ${R}`

/** y = Σ over R, one after the other.  x (N, R, D) → y (N, D) */
export const sumParts = op({
  name: "sumParts",
  sig: "x:(N,R,D) -> y:(N,D)",
  params: "N R D",
  check: ({ R }) => (R === 0 ? "there are no parts to add" : undefined),
  meaning: ({ x }, { N, R, D }) =>
    reshape(sumRows(reshape(permute(x, [0, 2, 1]), [N * D, R])), [N, D]),
  vjp: ({ y }, _tensors, { N, R, D }): Gradients | undefined =>
    y && { x: broadcast(reshape(y, [N, 1, D]), [N, R, D]) },
  gpu: [{ from: ["shared/parts.wgsl"], groups: ({ N, D }) => N * Math.ceil(D / 256) }],
  rows: ({ N, D }) => N * Math.ceil(D / columnsPerItem),
  cost: ({ N, R, D }) => ({ bytes: 4 * N * (R + 1) * D, flops: N * R * D }),
  cases: [
    { N: 1, R: 64, D: 64 },
    { N: 3, R: 4, D: 4099 },
    { N: 2, R: 1, D: 31 },
    { N: 1, R: 33, D: 1 },
  ],
})

/** The sum of parts.  parts (R, D) → (D) */
export const total = (parts: Tensor): Tensor => {
  const [R, D] = parts.shape as [number, number]
  return reshape(sumParts(reshape(parts, [1, R, D])), [D])
}
