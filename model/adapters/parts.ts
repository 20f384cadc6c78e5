// What an adapter has for one weight: low-rank matrices A and B beside it, y = W·x + s·B·(A·x), and, in
// DoRA, a magnitude of each output.  Hu et al. 2021, arXiv 2106.09685; Liu et al. 2024, arXiv 2402.09353
import type { Tensor } from "../../engine/index.ts"
import type { Linear } from "../recorder.ts"

/** The adapter of a matrix. Panels of B, and of magnitudes, lie as those of the weight do. */
export interface LinearPart {
  readonly a: Linear // (r, K)
  readonly b: Linear // (N, r); of a gated matrix all outputs of its panels
  /** alpha / r, and what it is multiplied by at run time; of shares each has its own. */
  readonly scale: Tensor // (1), or (r)
  /** What moves in place of A, B and magnitudes, which are then made of it (shares.ts); none where these move. */
  readonly shares: readonly SharePart[]
  readonly dora: Dora | undefined
  /** The matrix that it stands beside, and how that lies. */
  readonly base: Linear // (N, K)
  readonly halves: number
  /** Of its random numbers: none has another's. */
  readonly stream: number
}

/** The adapter of some rows of a matrix, from `first` on: its part of r from `at` on. */
export interface SharePart {
  readonly a: Linear // (rank, K)
  readonly b: Linear // (rows, rank)
  readonly magnitude: Tensor | undefined // (P, 1, 16)
  readonly first: number
  readonly at: number
}

/** Magnitudes of a matrix's rows. */
export interface Dora {
  readonly magnitude: Tensor // (P, 1, 16)
  /** Magnitudes over norms as generation takes them; training finds its own. */
  readonly ratio: Tensor // (P, 1, 16)
}

/** The adapter of a table that is looked up: x = E[id] + s·B·Aᵀ[id]. */
export interface TablePart {
  readonly a: Linear // (V, r)
  readonly b: Linear // (D, r)
  readonly scale: Tensor // (1)
}

/** Adapters by the weights that they stand beside. */
export interface AdapterParts {
  readonly linears: ReadonlyMap<Tensor, LinearPart>
  readonly tables: ReadonlyMap<Tensor, TablePart>
}

/** The trained tensors beside a weight. */
export function trainedBeside(parts: AdapterParts | undefined, weight: Tensor): Tensor[] {
  const found = parts?.linears.get(weight)
  if (!found) return []
  if (found.shares.length > 0) {
    return found.shares.flatMap(({ a, b, magnitude }) => [
      a.weight,
      b.weight,
      ...(magnitude ? [magnitude] : []),
    ])
  }
  return [found.a.weight, found.b.weight, ...(found.dora ? [found.dora.magnitude] : [])]
}
