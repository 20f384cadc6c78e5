// Weights from a file into the memory of a backend: rows are packed into panels as they come, panels
// of a quantized file are copied as they are. Numbers that are not finite are refused.
import {
  allocate,
  type Backend,
  bound,
  bufferOf,
  decode,
  itemBytes,
  offsetOf,
  readBound,
  runOnce,
  sizeOf,
  type Tensor,
  viewOf,
} from "../../engine/index.ts"
import { blocksOf, panelWidth, rowBlockBytes } from "../../ops/index.ts"
import { isFileBlocks, type Kept, packed, type Spec } from "./layout.ts"
import type { TensorSource } from "./rows.ts"

/** Bytes of staging for weights on their way from a file into panels. */
export const stagingBytes = 16 << 20

/** Sees rows on the backend beside the panels that were made of them. */
type Compare = (x: Tensor, panels: Tensor) => Promise<void>

export async function loadVector(
  source: TensorSource,
  spec: Spec,
  target: Tensor,
  backend: Backend,
): Promise<void> {
  const [D] = spec.shape as [number]
  const { dtype } = source
  const raw = new Uint8Array(D * itemBytes(dtype))
  await source.readRows(0, D, raw)
  const values = decode(dtype, viewOf(dtype, raw.buffer))
  const bad = values.filter((x) => !Number.isFinite(x)).length
  if (bad > 0) throw notFinite(nameIn(source, spec), bad, D, dtype)
  backend.write(bufferOf(target), Float32Array.from(values), offsetOf(target))
}

/** Rows on their way into panels: those of the source's blocks, if these are kept, else numbers.
 *  row, without the number of rows: (K), or (C, bytes of a block) */
function rowsFor(source: TensorSource, K: number, kept: Kept) {
  const { blocks } = source
  if (!isFileBlocks(kept)) return { row: [K], dtype: source.dtype, readRows: source.readRows }
  if (blocks?.format !== kept) throw new RangeError(`rows have no blocks of ${kept}`)
  const row = [blocksOf(K), rowBlockBytes[kept]]
  return { row, dtype: "u8" as const, readRows: blocks.readRows }
}

/** Rows go through a staging buffer, whole panels at a time, and are packed on the backend. */
export async function loadMatrix(
  source: TensorSource,
  spec: Spec,
  target: Tensor,
  backend: Backend,
  kept: Kept,
  compare?: Compare,
): Promise<void> {
  const [N, K] = spec.shape as [number, number]
  const { halves } = spec
  const named = { ...spec, name: nameIn(source, spec) }
  const { row, dtype, readRows } = rowsFor(source, K, kept)
  const rowBytes = sizeOf(row) * itemBytes(dtype)
  const half = N / halves
  const most = Math.max(1, Math.floor(stagingBytes / (rowBytes * panelWidth * halves))) * panelWidth
  const bytes = Math.min(half, most) * halves * rowBytes
  const staging = backend.alloc(bytes, dtype, bufferOf(target))
  const raw = new Uint8Array(staging.bytes)
  try {
    for (let start = 0; start < half; start += most) {
      const count = Math.min(most, half - start)
      for (let h = 0; h < halves; h++) {
        const at = h * count * rowBytes
        await readRows(h * half + start, count, raw.subarray(at, at + count * rowBytes))
      }
      backend.write(staging, raw.subarray(0, halves * count * rowBytes))
      const x = bound(staging, [halves * count, ...row], dtype)
      const part = await packInto(backend, x, target, (start / panelWidth) * halves, named, kept)
      await compare?.(x, part)
    }
  } finally {
    staging.free()
  }
}

/** Packs rows into the target's panels from `firstPanel` on, and returns those. */
async function packInto(
  backend: Backend,
  x: Tensor,
  target: Tensor,
  firstPanel: number,
  spec: Spec,
  kept: Kept,
): Promise<Tensor> {
  const { w, bad } = packed(x, spec.halves, kept, 1)
  const panelBytes = w.bytes / (w.shape[0] as number)
  const at = offsetOf(target) + firstPanel * panelBytes
  const part = bound(bufferOf(target), w.shape, w.dtype, at)
  const counts = allocate(backend, bad.shape)
  try {
    await runOnce(backend, [
      [part, w],
      [counts, bad],
    ])
    const total = Array.from(await readBound(counts, backend)).reduce((a, b) => a + b, 0)
    if (total > 0) throw notFinite(spec.name, total, sizeOf(spec.shape), kept)
    return part
  } finally {
    bufferOf(counts).free()
  }
}

/** Panels of a quantized file, as they are. Throws RangeError for scales that are not finite. */
export async function loadPanels(
  source: TensorSource,
  spec: Spec,
  target: Tensor,
  backend: Backend,
): Promise<void> {
  const [P, C, Z] = target.shape as [number, number, number]
  const most = Math.min(P, Math.max(1, Math.floor(stagingBytes / (C * Z))))
  const raw = new Uint8Array(most * C * Z)
  for (let start = 0; start < P; start += most) {
    const count = Math.min(most, P - start)
    const panels = raw.subarray(0, count * C * Z)
    await source.readRows(start, count, panels)
    const bad = badScales(panels, Z)
    if (bad > 0) {
      throw new RangeError(
        `${nameIn(source, spec)}: ${bad} scales of its panels ${start} to ${start + count - 1} are NaN or ` +
          "infinite. The file is damaged: quantize the model again",
      )
    }
    backend.write(bufferOf(target), panels, offsetOf(target) + start * C * Z)
  }
}

/** Scales, the last 16 half words of each block, whose exponent says NaN or infinite. */
function badScales(panels: Uint8Array<ArrayBuffer>, Z: number): number {
  const words = new Uint16Array(panels.buffer, 0, panels.length / 2)
  let bad = 0
  for (let end = Z / 2; end <= words.length; end += Z / 2) {
    for (let i = end - panelWidth; i < end; i++) {
      if (((words[i] as number) & 0x7f80) === 0x7f80) bad++
    }
  }
  return bad
}

/** A tensor's name for a message, after that of its file. */
const nameIn = ({ file }: TensorSource, { name }: Spec): string =>
  file ? `${file}: ${name}` : name

const notFinite = (name: string, count: number, total: number, dtype: string): Error =>
  new RangeError(
    `${name}: ${count} of its ${total} numbers are NaN or infinite in ${dtype}. ` +
      "The file is damaged, or the dtype too narrow: try f32",
  )
