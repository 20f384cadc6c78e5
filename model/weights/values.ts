// Weights of a checkpoint as numbers of f32, piece by piece, whatever it keeps them as.
import {
  allocate,
  type Backend,
  bufferOf,
  itemBytes,
  readTensors,
  sizeOf,
} from "../../engine/index.ts"
import { dequantize, panelWidth } from "../../ops/index.ts"
import { widened } from "../checkpoints/numbers.ts"
import type { OpenedModel } from "../opened.ts"
import { type Spec, stored } from "./layout.ts"
import type { TensorSource } from "./rows.ts"
import type { RowRange } from "./unpacking.ts"

/** Numbers in a piece, at most; but 16 rows are one. */
const pieceNumbers = 4 << 20

type ReadRows = (start: number, count: number) => Promise<Float32Array>

/** Rows of a weight in the order of the ranges. Panels are widened on the backend. */
export async function* valuesOf(
  model: OpenedModel,
  spec: Spec,
  ranges: readonly RowRange[],
  backend: () => Promise<Backend>,
): AsyncGenerator<Float32Array> {
  const source = model.source(spec.name)
  const isPanels = model.format !== undefined && spec.matrix
  const read = isPanels
    ? rowsOfPanels(source, spec, model.format, await backend())
    : plainRows(source)
  const columns = sizeOf(spec.shape.slice(1))
  const most = panelWidth * Math.max(1, Math.floor(pieceNumbers / columns / panelWidth))
  for (const { start, count } of ranges) {
    for (let at = 0; at < count; at += most) {
      yield await read(start + at, Math.min(most, count - at))
    }
  }
}

function plainRows(source: TensorSource): ReadRows {
  const dtype = source.dtype as Parameters<typeof widened>[0]
  const rowBytes = sizeOf(source.shape.slice(1)) * itemBytes(dtype)
  return async (start, count) => {
    const raw = new Uint8Array(count * rowBytes)
    await source.readRows(start, count, raw)
    return widened(dtype, raw.buffer)
  }
}

function rowsOfPanels(
  source: TensorSource,
  spec: Spec,
  format: OpenedModel["format"],
  backend: Backend,
): ReadRows {
  const [N, K] = spec.shape as [number, number]
  const { halves: Halves } = spec
  const [, C, Z] = stored(spec, format as NonNullable<typeof format>).shape as [
    number,
    number,
    number,
  ]
  const half = N / Halves
  /** Rows of one half from a panel on. */
  const readHalf = async (h: number, start: number, count: number): Promise<Float32Array> => {
    const first = Math.floor(start / panelWidth)
    const panels = Math.ceil((start + count) / panelWidth) - first
    const raw = new Uint8Array(panels * Halves * C * Z)
    await source.readRows(first * Halves, panels * Halves, raw)
    const w = allocate(backend, [panels * Halves, C, Z], "u8")
    try {
      backend.write(bufferOf(w), raw)
      const rows = Math.min(panels * panelWidth, half - first * panelWidth)
      const x = dequantize(w, { N: rows * Halves, K, Halves })
      const [values] = (await readTensors([x], backend)) as [Float32Array]
      const from = (h * rows + start - first * panelWidth) * K
      return values.slice(from, from + count * K)
    } finally {
      bufferOf(w).free()
    }
  }
  return async (start, count) => {
    const out = new Float32Array(count * K)
    for (let done = 0; done < count; ) {
      const [h, row] = [Math.floor((start + done) / half), (start + done) % half]
      const rows = Math.min(count - done, half - row)
      out.set(await readHalf(h, row, rows), done * K)
      done += rows
    }
    return out
  }
}
