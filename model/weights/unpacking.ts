// Weights on a backend as the rows that files hold: out of panels, tensor by tensor, as they are asked
// for.
import {
  allocate,
  type Backend,
  bufferOf,
  itemBytes,
  runOnce,
  sizeOf,
  type Tensor,
} from "../../engine/index.ts"
import { cast, unpack } from "../../ops/index.ts"
import type { DecoderConfig } from "../architecture.ts"
import { fileDTypes, type PlainDType } from "../checkpoints/header.ts"
import type { TensorData } from "../checkpoints/safetensors.ts"
import { type Spec, specsOf } from "./layout.ts"
import { type Lent, lending } from "./lent.ts"

/** Bytes that leave a backend at a time. */
const pieceBytes = 16 << 20

/** Tensors for `writeSafetensors` under the engine's names: the rows of each that is given in a dtype,
 *  made when they are asked for. */
export function rowTensors(
  config: DecoderConfig,
  tensors: ReadonlyMap<string, Tensor | Lent>,
  backend: Backend,
  dtype: PlainDType,
  prefix = "",
): Map<string, TensorData> {
  return new Map(
    specsOf(config).flatMap((spec) => {
      const tensor = tensors.get(spec.name)
      if (!tensor) return []
      const data = lending(tensor, (whole) => rowsOf(spec, whole, backend, dtype))
      return [[prefix + spec.name, { dtype: fileDTypes[dtype], shape: spec.shape, data }]]
    }),
  )
}

/** The same under the names, and in the parts, in which the family is published; given out when `check`,
 *  which may throw, has seen that they are what was in memory. */
export function publishedTensors(
  config: DecoderConfig,
  tensors: ReadonlyMap<string, Tensor | Lent>,
  backend: Backend,
  dtype: PlainDType,
  check?: () => Promise<void>,
): Map<string, TensorData> {
  const found = new Map<string, TensorData>()
  for (const spec of specsOf(config)) {
    for (const [name, ranges] of publishedRows(spec)) {
      const tensor = tensors.get(spec.name) as Tensor | Lent
      const rowsIn = (whole: Tensor) => rowsOf(spec, whole, backend, dtype, ranges, check)
      const data = lending(tensor, rowsIn)
      const rows = ranges.reduce((sum, { count }) => sum + count, 0)
      found.set(name, { dtype: fileDTypes[dtype], shape: [rows, ...spec.shape.slice(1)], data })
    }
  }
  return found
}

/** Rows of a weight. */
export interface RowRange {
  readonly start: number
  readonly count: number
}

/** The published tensors that a weight is made of, and which of its rows each has, in order. */
export function publishedRows({
  name,
  shape,
  from = [{ name }],
}: Spec): Map<string, readonly RowRange[]> {
  const parts = new Map<string, (RowRange & { readonly inFile: number })[]>()
  let start = 0
  for (const { name, start: inFile = 0, count = shape[0] as number } of from) {
    parts.set(name, [...(parts.get(name) ?? []), { start, count, inFile }])
    start += count
  }
  return new Map(
    [...parts].map(([name, ranges]) => [name, ranges.sort((a, b) => a.inFile - b.inFile)]),
  )
}

async function* rowsOf(
  { shape, halves: Halves, matrix }: Spec,
  tensor: Tensor,
  backend: Backend,
  dtype: PlainDType,
  ranges: readonly RowRange[] = [{ start: 0, count: shape[0] as number }],
  check?: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  const [N, K] = shape as [number, number]
  const rowBytes = sizeOf(shape.slice(1)) * itemBytes(dtype)
  const target = allocate(backend, shape, dtype, tensor)
  try {
    const rows = matrix ? unpack(tensor, { N, K, Halves, dtype }) : cast(tensor, dtype)
    await runOnce(backend, [[target, rows]])
    for (const { start, count } of ranges) {
      const end = (start + count) * rowBytes
      for (let at = start * rowBytes; at < end; at += pieceBytes) {
        // Backends read from multiples of four.
        const before = at % 4
        const bytes = Math.min(pieceBytes, end - at) + before
        const piece = await backend.read(bufferOf(target), bytes, at - before)
        await check?.()
        yield new Uint8Array(piece, before)
      }
    }
  } finally {
    bufferOf(target).free()
  }
}
