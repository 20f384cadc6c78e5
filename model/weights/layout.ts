// The form in which a backend keeps weights: panels of a dtype or of quantized blocks for matrices,
// f32 for vectors. Where the numbers come from is left to weights.ts.
import { type DType, itemBytes, sizeOf, type Tensor } from "../../engine/index.ts"
import { blockBytes, blocksOf, pack, panelsOf, panelWidth, quantize } from "../../ops/index.ts"
import type { DecoderConfig, WeightKind, WeightSpec } from "../architecture.ts"
import { architectureOf } from "../architectures/index.ts"
import { isQuantized, type QuantizedFormat } from "../checkpoints/quantized_format.ts"

/** How weight matrices are kept: numbers of a dtype, or blocks of 8 or 4 bits with their scales. */
export type WeightDType = "f32" | "f16" | "bf16" | QuantizedFormat
export const weightDTypes: readonly WeightDType[] = ["f32", "f16", "bf16", "q8", "q4"]

/** A weight as a backend keeps it. */
export interface Spec extends WeightSpec {
  /** Its place among the weights. */
  readonly index: number
  /** Parts whose panels alternate: 2 for the gate and value rows of a gated matrix. */
  readonly halves: number
  readonly matrix: boolean
}

export const specsOf = (config: DecoderConfig): Spec[] =>
  architectureOf(config)
    .weights(config)
    .map((weight, index) => ({ ...weight, index, ...formOf(weight.kind) }))

/** How a backend keeps weights of a kind. */
export const formOf = (kind: WeightKind): Pick<Spec, "halves" | "matrix"> => ({
  halves: kind === "gated" ? 2 : 1,
  matrix: kind !== "vector",
})

/** Bytes of the tables of a model, which are f32. */
const tableBytes = (config: DecoderConfig): number =>
  Object.values(architectureOf(config).tables(config)).reduce(
    (sum, { shape }) => sum + 4 * sizeOf(shape),
    0,
  )

/** Shape and dtype on the backend: panels for a matrix, as it is for a vector. */
export function stored(
  spec: Pick<Spec, "shape" | "halves" | "matrix">,
  dtype: WeightDType,
): { shape: number[]; dtype: DType } {
  const { shape, halves, matrix } = spec
  if (!matrix) return { shape: [...shape], dtype: "f32" }
  const [N, K] = shape as [number, number]
  const P = panelsOf(N, halves)
  if (!isQuantized(dtype)) return { shape: [P, K, panelWidth], dtype }
  return { shape: [P, blocksOf(K), blockBytes[dtype]], dtype: "u8" }
}

/** Bytes of a model's weights in a dtype; vectors and tables are always f32. */
export function weightBytes(config: DecoderConfig, dtype: WeightDType): number {
  return specsOf(config).reduce((sum, spec) => {
    const { shape, dtype: kept } = stored(spec, dtype)
    return sum + sizeOf(shape) * itemBytes(kept)
  }, tableBytes(config))
}

/** A matrix of rows in the form in which `dtype` keeps it, and its numbers that are not finite.
 *  Search 1 looks for q4's best scales, which takes seven times as long.
 *  x (N, K) → panels, (P) */
export function packed(
  x: Tensor,
  halves: number,
  dtype: WeightDType,
  Search: 0 | 1,
): { w: Tensor; bad: Tensor } {
  const [N, K] = x.shape as [number, number]
  const P = panelsOf(N, halves)
  if (!isQuantized(dtype)) return pack(x, { P, Halves: halves, dtype })
  const Z = blockBytes[dtype]
  return quantize(x, { P, C: blocksOf(K), Z, Halves: halves, Search })
}
