// A model on a backend back into a folder that other tools and `OpenELM.load` read. How its tensors
// leave the backend is left to weights/unpacking.ts.
import { kindOf } from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import type { DecoderConfig } from "../architecture.ts"
import { type ChatTemplates, filesOfTemplates, templateFile } from "../chat/templates.ts"
import { configJson } from "../config.ts"
import { writeFileWhole } from "../files/atomic.ts"
import { diskTree } from "../files/disk.ts"
import { pathToWrite } from "../files/source.ts"
import type { FileTree } from "../files/tree.ts"
import { generationFile, generationJson } from "../generate/generation.ts"
import {
  besideTokenizerFiles,
  filesOfTokenizer,
  type Tokenizer,
  tokenizerFiles,
} from "../tokenizer/index.ts"
import { type WeightDType, weightDTypes } from "../weights/layout.ts"
import { type FileDType, itemBytes, type PlainDType } from "./header.ts"
import { isQuantized } from "./quantized_format.ts"
import { type TensorData, writeSafetensors } from "./safetensors.ts"

/** Dtypes in which rows are written. */
export type SavedDType = PlainDType

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

/** Tensors, ending with RangeError at one that holds NaN or infinity: no file does. */
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
  ...["config.json", "model.safetensors", generationFile, templateFile],
  ...[...tokenizerFiles, ...besideTokenizerFiles],
]

/** What a folder of the Hugging Face layout is made of. */
interface FolderParts {
  /** config.json, an object for JSON.stringify. */
  readonly config: object
  readonly tensors: ReadonlyMap<string, TensorData>
  /** `format` in the metadata of the weights. */
  readonly mark: string
  /** Files beside them, by name. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

/** Writes a folder, which is made if it is not there; each file whole or not at all, config.json last: a
 *  folder without it is unfinished. */
export async function writeFolder(
  folder: string,
  { config, tensors, mark, files }: FolderParts,
): Promise<void> {
  const { join } = fromNode("node:path")
  await fromNode("node:fs/promises").mkdir(folder, { recursive: true })
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { format: mark })
  for (const [name, bytes] of files) await writeFileWhole(join(folder, name), bytes)
  await writeFileWhole(join(folder, "config.json"), jsonBytes(config))
}

const jsonBytes = (json: object): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`)

/**
 * Writes config.json, model.safetensors, the tokenizer's file, generation_config.json and chat
 * templates, if there are any, into a folder. Numbers that are not finite are none. Throws RangeError where files that are
 * there already would be taken for this model's.
 */
export async function saveModel(
  folder: string,
  config: DecoderConfig,
  tensors: ReadonlyMap<string, TensorData>,
  tokenizer?: Tokenizer,
  templates?: ChatTemplates,
): Promise<void> {
  const path = pathToWrite(folder, "the folder")
  const tree = diskTree(path, false)
  if (tokenizer) await checkTokenizers(tree, tokenizer)
  const { generation } = config
  if (!generation) await checkAbsent(tree, generationFile)
  const files = new Map(tokenizer && filesOfTokenizer(tokenizer))
  for (const [name, bytes] of templates ? filesOfTemplates(templates, files) : []) {
    files.set(name, bytes)
  }
  if (!files.has(templateFile)) await checkAbsent(tree, templateFile)
  if (generation) files.set(generationFile, jsonBytes(generationJson(generation)))
  const finite = onlyFinite(tensors)
  await writeFolder(path, { config: configJson(config), tensors: finite, mark: "pt", files })
}

/** A model without its own way to generate, or to chat, must not be given another's, and that is not ours
 *  to remove. */
async function checkAbsent(tree: FileTree, file: string): Promise<void> {
  if (!(await tree.has(file))) return
  throw new RangeError(
    `${tree.name} holds a ${file}, which would be read for this model, that has none. ` +
      "Save into another folder, or remove it",
  )
}

/** A tokenizer that is written must be the one that is read. Throws RangeError where it would not. */
async function checkTokenizers(tree: FileTree, tokenizer: Tokenizer): Promise<void> {
  const written = filesOfTokenizer(tokenizer)
  const place = tokenizerFiles.findIndex((name) => written.has(name))
  const name = tokenizerFiles[place]
  const others = [
    ...tokenizerFiles.slice(0, place).map((other) => [other, "before"] as const),
    ...(tokenizer.files ? besideTokenizerFiles : []).map((other) => [other, "with"] as const),
  ]
  for (const [other, when] of others) {
    if (written.has(other) || !(await tree.has(other))) continue
    throw new RangeError(
      `${tree.name} holds a ${other}, which is read ${when} the ${name} of this model. ` +
        "Save into another folder, or remove it",
    )
  }
}
