// The formats that a model is written in: a line each.

import type { CheckpointWriter, WriteRequest, WrittenFormat } from "./writer.ts"
import { elm } from "./writers/elm.ts"
import { gguf } from "./writers/gguf.ts"
import { hf } from "./writers/hf.ts"
import { mlx } from "./writers/mlx.ts"
import { onnx } from "./writers/onnx.ts"

const writers: readonly CheckpointWriter[] = [hf, mlx, gguf, elm, onnx]

export const writerNames: readonly WrittenFormat[] = writers.map(({ name }) => name)

/** The writer of a format, which has this dtype. Throws RangeError for others. */
export function writerNamed(name: string, dtype: WriteRequest["dtype"]): CheckpointWriter {
  const found = writers.find((writer) => writer.name === name)
  if (!found) throw new RangeError(`no format ${name}. Known: ${writerNames.join(", ")}`)
  if (found.dtypes.includes(dtype)) return found
  throw new RangeError(
    `${found.writes} holds ${found.dtypes.join(", ")}, got ${dtype}. Use another dtype or format`,
  )
}
