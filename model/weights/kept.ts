// In which form each matrix of a model is kept: the dtype that is asked for, the panels of a quantized
// folder, or the blocks of a file as they are, so that nothing is rounded twice.
import { isQuantized } from "../checkpoints/quantized_format.ts"
import type { OpenedModel } from "../opened.ts"
import type { FileBlocks, Kept, Spec, WeightDType } from "./layout.ts"
import type { TensorSource } from "./rows.ts"

/** What a model is said to be in, and the form of each of its matrices. */
export interface Keeping {
  readonly dtype: WeightDType
  of(spec: Spec): Kept
}

/** Bits of a number in what is asked for, and in blocks of a file. */
const bits = { q8: 8, q4: 4, q8_0: 8, q4_0: 4 } as const satisfies Partial<Record<Kept, number>>

/**
 * What is asked for, in place of q8 and q4 the file's own blocks where they have no more bits; where nothing
 * is, a quantized folder's panels, else f32: products round their inputs for blocks, which is no default.
 * Throws RangeError for another dtype than a quantized folder's.
 */
export function keepingFor(model: OpenedModel, asked: WeightDType | undefined): Keeping {
  const { format, name } = model
  if (format && asked !== undefined && asked !== format) {
    throw new RangeError(
      `${name} holds weights in ${format}, got dtype ${JSON.stringify(asked)}. ` +
        "Leave dtype out, or load the model that it was made from",
    )
  }
  const dtype = asked ?? format ?? "f32"
  if (format || !isQuantized(dtype)) return { dtype, of: () => dtype }
  const fits = (blocks: FileBlocks): boolean => bits[blocks] <= bits[dtype]
  const keptOf = ({ blocks }: TensorSource): Kept =>
    blocks && fits(blocks.format) ? blocks.format : dtype
  return { dtype, of: ({ name }) => keptOf(model.source(name)) }
}
