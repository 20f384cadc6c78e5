// A weight's rows, out of the tensors that hold them: one, or several whose rows follow each other.
import { type DType, itemBytes } from "../../engine/index.ts"
import { checkRows, type StoredTensor } from "../checkpoints/checkpoint.ts"
import type { PlainDType } from "../checkpoints/header.ts"
import { f32Rows } from "../checkpoints/numbers.ts"
import { isQuantized } from "../checkpoints/quantized_format.ts"
import { show } from "../json.ts"

/** One weight, to be read row by row. */
export interface TensorSource {
  /** u8 for the panels of a quantized matrix. */
  readonly dtype: DType
  readonly shape: readonly number[]
  /** The file, where there is one, for messages. */
  readonly file?: string | undefined
  /** Fills `target` with rows [start, start + count); a row of a vector is one number, one of
   *  panels a panel. */
  readRows(start: number, count: number, target: Uint8Array): Promise<void>
}

/** Some rows of a tensor. */
export interface StoredRows {
  readonly tensor: StoredTensor
  readonly start: number
  readonly count: number
}

/** A weight of tensors that kernels can take. Where they differ in dtype, all are widened to f32. */
export function rowsOf(pieces: readonly StoredRows[], shape: readonly number[]): TensorSource {
  const [first] = pieces as [StoredRows]
  const dtypes = new Set(pieces.map(({ tensor }) => dtypeOf(tensor)))
  const dtype = dtypes.size > 1 ? "f32" : dtypeOf(first.tensor)
  const [rows = 1, ...row] = shape
  const rowBytes = row.reduce((a, b) => a * b, itemBytes(dtype))
  const at = [...new Set(pieces.map(({ tensor }) => show(tensor.name)))].join(", ")
  const { file } = first.tensor
  return {
    dtype,
    shape,
    file,
    async readRows(start, count, target) {
      checkRows(`${file}: ${at}`, start, count, rows, target.length, rowBytes)
      // Rows of the weight before those of a piece.
      let before = 0
      for (const piece of pieces) {
        const from = Math.max(start, before)
        const to = Math.min(start + count, before + piece.count)
        if (from < to) {
          const part = target.subarray((from - start) * rowBytes, (to - start) * rowBytes)
          const at = piece.start + from - before
          await readAs(dtype, piece.tensor, at, to - from, part)
        }
        before += piece.count
      }
    },
  }
}

const dtypeOf = ({ form, asF32 }: StoredTensor): DType => {
  if (asF32) return "f32"
  return form === undefined || isQuantized(form) ? "u8" : form
}

async function readAs(
  dtype: DType,
  tensor: StoredTensor,
  start: number,
  count: number,
  target: Uint8Array,
): Promise<void> {
  const own = dtypeOf(tensor)
  const read = own === dtype && !tensor.asF32 ? tensor.read : f32Rows(tensor, own as PlainDType)
  await read(start, count, target)
}
