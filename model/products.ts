// The ops for weights as they are kept: quantized weights (u8) have ops of their own.
import type { Tensor } from "../engine/index.ts"
import {
  dequantize,
  embed,
  embedQuantized,
  matmul,
  matmulAdd,
  matmulAddQuantized,
  matmulQuantized,
  matmulSwiglu,
  matmulSwigluQuantized,
  normMatmul,
  normMatmulQuantized,
  normMatmulSwiglu,
  normMatmulSwigluQuantized,
  unpack,
} from "../ops/index.ts"

const isQuantized = ({ dtype }: Tensor): boolean => dtype === "u8"

/** x·Wᵀ.  x (M, K) → (M, N) */
export const product = (x: Tensor, w: Tensor, N: number): Tensor =>
  (isQuantized(w) ? matmulQuantized : matmul)(x, w, { N })

/** rmsNorm(x, n)·Wᵀ.  x (M, K), n (K) → (M, N) */
export const normProduct = (x: Tensor, n: Tensor, w: Tensor, N: number, eps: number): Tensor =>
  (isQuantized(w) ? normMatmulQuantized : normMatmul)(x, n, w, { N, eps })

/** r + x·Wᵀ in the memory of r.  x (M, K), r (M, N) → (M, N) */
export const addProduct = (x: Tensor, w: Tensor, r: Tensor): Tensor =>
  (isQuantized(w) ? matmulAddQuantized : matmulAdd)(x, w, r)

/** swiglu(x·Wᵀ).  x (M, K) → (M, F) */
export const gatedProduct = (x: Tensor, w: Tensor, F: number): Tensor =>
  (isQuantized(w) ? matmulSwigluQuantized : matmulSwiglu)(x, w, { F })

/** swiglu(rmsNorm(x, n)·Wᵀ).  x (M, K), n (K) → (M, F) */
export const normGatedProduct = (x: Tensor, n: Tensor, w: Tensor, F: number, eps: number): Tensor =>
  (isQuantized(w) ? normMatmulSwigluQuantized : normMatmulSwiglu)(x, n, w, { F, eps })

/** Rows of the embedding; the padding row, if any, gets no gradient.  ids (N) → (N, D) */
export function embedding(ids: Tensor, w: Tensor, D: number, Padding?: number): Tensor {
  if (isQuantized(w)) return embedQuantized(ids, w, { D })
  return embed(ids, w, Padding === undefined ? {} : { Padding })
}

/** Rows of a matrix, or of whole panels of it, in f32.  w (P, …) → (N, K) */
export const widenedRows = (
  w: Tensor,
  sizes: { readonly N: number; readonly K: number; readonly Halves: number },
): Tensor => (isQuantized(w) ? dequantize(w, sizes) : unpack(w, { ...sizes, dtype: "f32" }))
