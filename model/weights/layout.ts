// The form in which a backend keeps weights: panels of a dtype or of quantized blocks for matrices,
// f32 for vectors. Where the numbers come from is left to weights.ts.
import { type DType, itemBytes, sizeOf, type Tensor } from "../../engine/index.ts"
import {
  blockBytes,
  blocksOf,
  fileBlockBytes,
  pack,
  panelBlocks,
  panelsOf,
  panelWidth,
  quantize,
} from "../../ops/index.ts"
import type { DecoderConfig, WeightKind, WeightSpec } from "../architecture.ts"
import { architectureOf } from "../architectures/index.ts"
import { isQuantized, type QuantizedFormat } from "../checkpoints/quantized_format.ts"

/** How weight matrices are kept: numbers of a dtype, or blocks of 8 or 4 bits with their scales. */
export type WeightDType = "f32" | "f16" | "bf16" | QuantizedFormat
export const weightDTypes: readonly WeightDType[] = ["f32", "f16", "bf16", "q8", "q4"]

/** Blocks of GGUF's that are kept as the file has them, to the bit. */
export type FileBlocks = keyof typeof fileBlockBytes
export const isFileBlocks = (kept: Kept): kept is FileBlocks => Object.hasOwn(fileBlockBytes, kept)

/** How a matrix is kept: in the dtype of its model, or in the blocks of its file. */
export type Kept = WeightDType | FileBlocks

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
  matrix: kind !== "vector" && kind !== "bias",
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
  kept: Kept,
): { shape: number[]; dtype: DType } {
  const { shape, halves, matrix } = spec
  if (!matrix) return { shape: [...shape], dtype: "f32" }
  const [N, K] = shape as [number, number]
  const P = panelsOf(N, halves)
  const Z = blockSize(kept)
  if (Z !== undefined) return { shape: [P, blocksOf(K), Z], dtype: "u8" }
  return { shape: [P, K, panelWidth], dtype: kept as DType }
}

/** Bytes of a block; undefined for what is kept as numbers. */
function blockSize(kept: Kept): number | undefined {
  if (isFileBlocks(kept)) return fileBlockBytes[kept]
  return isQuantized(kept) ? blockBytes[kept] : undefined
}

/** Bytes of a model's weights in a dtype; vectors and tables are always f32. */
export function weightBytes(config: DecoderConfig, dtype: WeightDType): number {
  return specsOf(config).reduce((sum, spec) => {
    const { shape, dtype: kept } = stored(spec, dtype)
    return sum + sizeOf(shape) * itemBytes(kept)
  }, tableBytes(config))
}

/** A matrix of rows in the form in which it is to be kept, and its numbers that are not finite.
 *  Search 1 looks for q4's best scales, which takes seven times as long.
 *  x (N, K), or (N, C, bytes) where it is in blocks already → panels, (P) */
export function packed(
  x: Tensor,
  halves: number,
  kept: Kept,
  Search: 0 | 1,
): { w: Tensor; bad: Tensor } {
  const [N, K] = x.shape as [number, number]
  const P = panelsOf(N, halves)
  if (isFileBlocks(kept)) return panelBlocks(x, { P, Z: fileBlockBytes[kept], Halves: halves })
  if (!isQuantized(kept)) return pack(x, { P, Halves: halves, dtype: kept })
  return quantize(x, { P, C: blocksOf(K), Z: blockBytes[kept], Halves: halves, Search })
}
