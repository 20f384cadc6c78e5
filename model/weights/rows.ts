// A weight's rows, out of the tensors that hold them: one, or several whose rows follow each other.
import { type DType, itemBytes } from "../../engine/index.ts"
import { blocksOf, rowBlockBytes } from "../../ops/index.ts"
import { checkRows, type StoredTensor } from "../checkpoints/checkpoint.ts"
import type { PlainDType } from "../checkpoints/header.ts"
import { f32Rows } from "../checkpoints/numbers.ts"
import { isQuantized } from "../checkpoints/quantized_format.ts"
import { show } from "../json.ts"
import type { FileBlocks } from "./layout.ts"

/** One weight, to be read row by row. */
export interface TensorSource {
  /** u8 for the panels of a quantized matrix. */
  readonly dtype: DType
  readonly shape: readonly number[]
  /** The file, where there is one, for messages. */
  readonly file?: string | undefined
  /** Fills `target` with rows [start, start + count); a row of a vector is one number, one of
   *  panels a panel. */
  readRows: ReadRows
  /** Where all of it is in blocks that a kernel takes: their format, and rows of them as they lie. */
  readonly blocks?: { readonly format: FileBlocks; readRows: ReadRows } | undefined
}

type ReadRows = (start: number, count: number, target: Uint8Array) => Promise<void>

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
  const [columns = 1] = row
  const rowBytes = row.reduce((a, b) => a * b, itemBytes(dtype))
  const formats = new Set(pieces.map(({ tensor }) => tensor.blocks))
  const { file, blocks: format } = first.tensor
  const reading = (bytes: number, read: ReadPiece): ReadRows =>
    readPieces(pieces, rows, bytes, read)
  return {
    dtype,
    shape,
    file,
    readRows: reading(rowBytes, (tensor) => numbersAs(dtype, tensor)),
    blocks:
      formats.size === 1 && format !== undefined
        ? {
            format,
            readRows: reading(blocksOf(columns) * rowBlockBytes[format], (tensor) => tensor.read),
          }
        : undefined,
  }
}

/** What reads rows of a tensor. */
type ReadPiece = (tensor: StoredTensor) => StoredTensor["read"]

/** Rows, of so many bytes, of a weight that is made of pieces. */
function readPieces(
  pieces: readonly StoredRows[],
  rows: number,
  rowBytes: number,
  readOf: ReadPiece,
): ReadRows {
  const names = [...new Set(pieces.map(({ tensor }) => show(tensor.name)))].join(", ")
  const at = `${pieces[0]?.tensor.file}: ${names}`
  return async (start, count, target) => {
    checkRows(at, start, count, rows, target.length, rowBytes)
    // Rows of the weight before those of a piece.
    let before = 0
    for (const piece of pieces) {
      const from = Math.max(start, before)
      const to = Math.min(start + count, before + piece.count)
      if (from < to) {
        const part = target.subarray((from - start) * rowBytes, (to - start) * rowBytes)
        await readOf(piece.tensor)(piece.start + from - before, to - from, part)
      }
      before += piece.count
    }
  }
}

const dtypeOf = ({ form, asF32 }: StoredTensor): DType => {
  if (asF32) return "f32"
  return form === undefined || isQuantized(form) ? "u8" : form
}

function numbersAs(dtype: DType, tensor: StoredTensor): StoredTensor["read"] {
  const own = dtypeOf(tensor)
  return own === dtype && !tensor.asF32 ? tensor.read : f32Rows(tensor, own as PlainDType)
}
