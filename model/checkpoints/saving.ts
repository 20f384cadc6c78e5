// A model on a backend back into a folder: rows out of panels, tensor by tensor, so that other tools
// and `OpenELM.load` read it. config.json comes last: a folder without it is unfinished.
import {
  allocate,
  type Backend,
  bufferOf,
  type DType,
  kindOf,
  runOnce,
  type Tensor,
} from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import { cast, unpack } from "../../ops/index.ts"
import type { DecoderConfig } from "../architecture.ts"
import { configJson } from "../config.ts"
import { writeFileWhole } from "../files/atomic.ts"
import { fileIn, isThere, pathToWrite } from "../files/disk.ts"
import { generationFile, generationJson } from "../generate/generation.ts"
import { type Tokenizer, tokenizerFiles } from "../tokenizer/index.ts"
import { type Spec, specsOf, type WeightDType, weightDTypes } from "../weights/layout.ts"
import { isQuantized } from "./format.ts"
import { type FileDType, itemBytes } from "./header.ts"
import { type TensorData, writeSafetensors } from "./safetensors.ts"

/** Dtypes in which rows are written. */
export type SavedDType = "f32" | "f16" | "bf16"

const fileDTypes = { f32: "F32", f16: "F16", bf16: "BF16" } as const

/** The dtype to write weights in that are kept in `kept`. Throws RangeError for others, and for weights
 *  that are quantized. */
export function savedDType(kept: WeightDType, asked: WeightDType = kept): SavedDType {
  if (!weightDTypes.includes(asked)) {
    throw new RangeError(`save: dtype must be one of f32, f16, bf16, got ${kindOf(asked)}`)
  }
  if (!isQuantized(kept) && !isQuantized(asked)) return asked
  throw new RangeError(
    `save writes f32, f16 or bf16 weights, got ${kept} as ${asked}. ` +
      "Save the model that they were made from, then use elm quantize",
  )
}

/** Bytes that leave a backend at a time. */
const pieceBytes = 16 << 20

/** Tensors for `writeSafetensors`: each of the tensors' rows in a dtype, made when they are asked for, and
 *  given out when `check`, which may throw, has seen that they are what was in memory. */
export function rowTensors(
  config: DecoderConfig,
  tensors: ReadonlyMap<string, Tensor>,
  backend: Backend,
  dtype: SavedDType,
  prefix = "",
  check?: () => Promise<void>,
): Map<string, TensorData> {
  return new Map(
    specsOf(config).flatMap((spec) => {
      if (!tensors.has(spec.name)) return []
      const data = rowsOf(spec, tensors.get(spec.name) as Tensor, backend, dtype, check)
      return [[prefix + spec.name, { dtype: fileDTypes[dtype], shape: spec.shape, data }]]
    }),
  )
}

async function* rowsOf(
  { shape, halves: Halves, matrix }: Spec,
  tensor: Tensor,
  backend: Backend,
  dtype: DType,
  check?: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  const [N, K] = shape as [number, number]
  const target = allocate(backend, shape, dtype, tensor)
  try {
    const rows = matrix ? unpack(tensor, { N, K, Halves, dtype }) : cast(tensor, dtype)
    await runOnce(backend, [[target, rows]])
    for (let at = 0; at < target.bytes; at += pieceBytes) {
      const bytes = Math.min(pieceBytes, target.bytes - at)
      const rows = await backend.read(bufferOf(target), bytes, at)
      await check?.()
      yield new Uint8Array(rows)
    }
  } finally {
    bufferOf(target).free()
  }
}

/** The same tensors, ending with RangeError at one that holds NaN or infinity: no file does. */
export const onlyFinite = (tensors: ReadonlyMap<string, TensorData>): Map<string, TensorData> =>
  new Map(
    [...tensors].map(([name, tensor]) => [name, { ...tensor, data: finitePieces(name, tensor) }]),
  )

async function* finitePieces(
  name: string,
  { dtype, data }: TensorData,
): AsyncGenerator<ArrayBufferView> {
  for await (const piece of ArrayBuffer.isView(data) ? [data] : data) {
    const bad = countNotFinite(dtype, piece)
    if (bad > 0) {
      throw new RangeError(
        `${name}: ${bad} of ${piece.byteLength / itemBytes[dtype]} numbers to be written are NaN or ` +
          `infinite in ${dtype}. Nothing was replaced; a wider dtype may hold them, such as f32`,
      )
    }
    yield piece
  }
}

/** Bits that are all set in what is NaN or infinite. */
const exponents: Partial<Record<FileDType, number>> = { F32: 0x7f800000, F16: 0x7c00, BF16: 0x7f80 }

function countNotFinite(dtype: FileDType, piece: ArrayBufferView): number {
  const exponent = exponents[dtype]
  if (exponent === undefined) return 0
  const { buffer } = new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength).slice()
  const size = itemBytes[dtype]
  const Words = size === 4 ? Uint32Array : Uint16Array
  let bad = 0
  for (const word of new Words(buffer, 0, Math.floor(buffer.byteLength / size))) {
    if ((word & exponent) === exponent) bad++
  }
  return bad
}

/** Files that `saveModel` may write. */
export const savedFiles: readonly string[] = [
  ...["config.json", "model.safetensors", generationFile],
  ...tokenizerFiles,
]

/**
 * Writes config.json, model.safetensors, the tokenizer's file and generation_config.json, if there
 * are any, into a folder, which is made if it is not there. Each file is written whole or not at all;
 * numbers that are not finite are none.
 */
export async function saveModel(
  folder: string,
  config: DecoderConfig,
  tensors: ReadonlyMap<string, TensorData>,
  tokenizer?: Tokenizer,
): Promise<void> {
  const { mkdir } = fromNode("node:fs/promises")
  const { join } = fromNode("node:path")
  await mkdir(pathToWrite(folder, "the folder"), { recursive: true })
  if (tokenizer) await checkTokenizers(folder, tokenizer)
  await writeSafetensors(join(folder, "model.safetensors"), onlyFinite(tensors), { format: "pt" })
  if (tokenizer) await writeFileWhole(join(folder, tokenizer.file.name), tokenizer.file.bytes)
  const written = (json: object) => new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`)
  if (config.generation) {
    const json = generationJson(config.generation)
    await writeFileWhole(join(folder, generationFile), written(json))
  }
  await writeFileWhole(join(folder, "config.json"), written(configJson(config)))
}

/** A tokenizer that is written must be the one that is read. Throws RangeError where it would not. */
async function checkTokenizers(folder: string, tokenizer: Tokenizer): Promise<void> {
  const { name } = tokenizer.file
  const first = tokenizerFiles.slice(0, tokenizerFiles.indexOf(name as "tokenizer.json"))
  for (const other of first) {
    if (!(await isThere(fileIn(folder, other)))) continue
    throw new RangeError(
      `${folder} holds a ${other}, which is read before the ${name} of this model. ` +
        "Save into another folder, or remove it",
    )
  }
}
