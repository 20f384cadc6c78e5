// A model's weights in a quantized format, made one tensor at a time as a file is written; and how
// far they lie from those that they stand for.
import {
  allocate,
  type Backend,
  bufferOf,
  itemBytes,
  readTensors,
  sizeOf,
  type Tensor,
} from "../../engine/index.ts"
import { cast, dequantize, mul, sub, sumRows } from "../../ops/index.ts"
import { configJson } from "../config.ts"
import type { OpenedModel } from "../opened.ts"
import { type Spec, specsOf, stored } from "../weights/layout.ts"
import { loadMatrix, loadVector, stagingBytes } from "../weights/reading.ts"
import type { Progress } from "../weights/weights.ts"
import { markOf, type QuantizedFormat } from "./quantized_format.ts"
import type { TensorData } from "./safetensors.ts"
import { writeFolder } from "./saving.ts"
import { filesBeside } from "./writer.ts"

/** What has been made so far. */
export interface Made {
  /** Bytes of the weights in the folder they come from, and as they are made. */
  before: number
  after: number
  /** Sums over all numbers of the matrices: w², and (w − what it became)². */
  squares: number
  errors: number
}

/** Tensors for `writeSafetensors` with the very bytes that a backend keeps, vectors in f32; `made`
 *  is complete when they are written. The data of each is made when it is asked for, then freed. */
function quantizedTensors(
  folder: OpenedModel,
  backend: Backend,
  format: QuantizedFormat,
  progress?: Progress,
): { tensors: Map<string, TensorData>; made: Made } {
  const made: Made = { before: 0, after: 0, squares: 0, errors: 0 }
  const specs = specsOf(folder.config).map((spec) => ({ spec, ...stored(spec, format) }))
  const total = specs.reduce((sum, { shape, dtype }) => sum + sizeOf(shape) * itemBytes(dtype), 0)
  const tensors = specs.map(({ spec, shape, dtype }): [string, TensorData] => {
    const data = async function* () {
      const target = allocate(backend, shape, dtype)
      try {
        await fill(folder, spec, target, backend, format, made)
        for (let at = 0; at < target.bytes; at += stagingBytes) {
          const bytes = Math.min(stagingBytes, target.bytes - at)
          yield new Uint8Array(await backend.read(bufferOf(target), bytes, at))
        }
      } finally {
        bufferOf(target).free()
      }
      made.after += target.bytes
      progress?.(made.after, total)
    }
    return [spec.name, { dtype: dtype === "u8" ? "U8" : "F32", shape, data: data() }]
  })
  return { tensors: new Map(tensors), made }
}

/** Writes a model in a quantized format into a folder, which loads without packing. */
export async function writeQuantized(
  model: OpenedModel,
  folder: string,
  backend: Backend,
  format: QuantizedFormat,
  progress?: Progress,
  beside?: ReadonlyMap<string, Uint8Array>,
): Promise<Made> {
  const { tensors, made } = quantizedTensors(model, backend, format, progress)
  const files = beside ?? (await filesBeside({ model }))
  const config = configJson(model.config, format)
  await writeFolder(folder, { config, tensors, mark: markOf(format), files })
  return made
}

async function fill(
  folder: OpenedModel,
  spec: Spec,
  target: Tensor,
  backend: Backend,
  format: QuantizedFormat,
  made: Made,
): Promise<void> {
  const source = folder.source(spec.name)
  made.before += sizeOf(spec.shape) * itemBytes(source.dtype)
  if (!spec.matrix) return loadVector(source, spec, target, backend)
  await loadMatrix(source, spec, target, backend, format, async (x, panels) => {
    const [squares, errors] = await deviation(backend, x, panels, spec.halves)
    made.squares += squares
    made.errors += errors
  })
}

/** Σ x² and Σ (x − panels)²: rows summed in f32 on the backend, their sums in f64. */
async function deviation(
  backend: Backend,
  x: Tensor,
  panels: Tensor,
  Halves: number,
): Promise<[squares: number, errors: number]> {
  const [N, K] = x.shape as [number, number]
  const wide = cast(x, "f32") // (N, K)
  const off = sub(wide, dequantize(panels, { N, K, Halves })) // (N, K)
  const sums = [wide, off].map((v) => sumRows(mul(v, v))) // (N), (N)
  const rows = await readTensors(sums, backend)
  const totals = rows.map((list) => Array.from(list).reduce((a, b) => a + b, 0))
  return totals as [number, number]
}
