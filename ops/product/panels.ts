// The layout of weight matrices, in plain ops: panels of sixteen outputs (matmul.ts).
import type { Tensor } from "../../engine/index.ts"
import { cast } from "../plain/indexing.ts"
import { permute, reshape, slice, spreadInto } from "../plain/movement.ts"
import { dot } from "../plain/reduce.ts"

/** Outputs of one panel. */
export const panelWidth = 16

/** Panels of a matrix of `rows` outputs in `halves` equal parts that alternate panel by panel. */
export const panelsOf = (rows: number, halves = 1): number =>
  halves * Math.ceil(rows / halves / panelWidth)

/** The panels of a matrix in plain ops.  x (N, K) → (P, K, 16) */
export function packedPanels(x: Tensor, halves: number): Tensor {
  const [N, K] = x.shape as [number, number]
  const P = panelsOf(N, halves)
  const rows = (P / halves) * panelWidth
  const parts = reshape(x, [halves, N / halves, K])
  const padded = spreadInto(parts, [halves, rows, K], [rows * K, K, 1])
  const split = reshape(padded, [halves, P / halves, panelWidth, K])
  return reshape(permute(split, [1, 0, 3, 2]), [P, K, panelWidth])
}

/** The matrix (N, K) in f32 that panels stand for, in plain ops.  w (P, K, 16) → (N, K) */
export function unpanel(w: Tensor, N: number, halves = 1): Tensor {
  const [P, K] = w.shape as [number, number, number]
  const parts = reshape(cast(w, "f32"), [P / halves, halves, K, panelWidth])
  const rows = (P / halves) * panelWidth
  const matrix = reshape(permute(parts, [1, 0, 3, 2]), [halves, rows, K])
  return reshape(slice(matrix, 1, 0, N / halves), [N, K])
}

/** x·Wᵀ in plain ops.  x (M, K), matrix (N, K) → (M, N) */
export function product(x: Tensor, matrix: Tensor): Tensor {
  const [[M, K], [N]] = [x.shape as [number, number], matrix.shape as [number]]
  return reshape(dot(reshape(x, [1, M, K]), reshape(matrix, [1, N, K])), [M, N])
}
