// Folders of the Hugging Face layout: config.json with model.safetensors, or with shards and their index.
// Also one safetensors file by itself, with what lies beside it.
import type { FileTree } from "../files/tree.ts"
import { generationFile } from "../generate/generation.ts"
import { show } from "../json.ts"
import { folderTokenizer } from "../tokenizer/index.ts"
import {
  type Candidate,
  type CheckpointFormat,
  checkRows,
  type OpenCheckpoint,
  type Sourced,
  type StoredTensor,
} from "./checkpoint.ts"
import { beginsLikeHeader, engineDType, type TensorEntry } from "./header.ts"
import { isMark, markOf, type QuantizedFormat } from "./quantized_format.ts"
import { type SafetensorsFile, safetensorsOf } from "./safetensors.ts"
import { openWeights, weightsFiles } from "./shards.ts"

export const safetensorsFolder: CheckpointFormat = {
  name: "safetensors",
  files: weightsFiles,
  async open(candidate) {
    return openFolder(candidate, await candidate.json("config.json"), undefined)
  },
}

type Tensors = ReadonlyMap<string, StoredTensor>

/** A folder whose matrices are rows of numbers, or panels of a format; `arranged`: what its tensors are
 *  together. */
export async function openFolder(
  candidate: Candidate,
  config: Sourced | undefined,
  panels: QuantizedFormat | undefined,
  arranged: (tensors: Tensors) => Tensors = (tensors) => tensors,
): Promise<OpenCheckpoint | undefined> {
  const { tree } = candidate
  const limit = candidate.weightsLimit(config)
  const generation = await candidate.json(generationFile)
  const files = await openFiles(tree, limit)
  if (!files) return undefined
  const close = async (): Promise<void> => {
    for (const file of files) await file.close()
  }
  try {
    const tensors = new Map<string, StoredTensor>()
    for (const file of files) {
      checkMark(file, panels)
      for (const [name, entry] of file.tensors)
        tensors.set(name, storedIn(file, name, entry, panels))
    }
    const tokenizer = () => folderTokenizer(tree)
    const name = tree.file === undefined ? tree.name : tree.nameOf(tree.file)
    return { name, config, generation, tensors: arranged(tensors), panels, tokenizer, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The files of weights; undefined where there are none. */
async function openFiles(
  tree: FileTree,
  limit: number | undefined,
): Promise<readonly SafetensorsFile[] | undefined> {
  if (tree.file === undefined) return openWeights(tree, limit)
  const file = await tree.openIfThere(tree.file, limit)
  if (!file) return undefined
  let isOwn = false
  try {
    isOwn = await beginsLikeHeader(file)
  } finally {
    if (!isOwn) await file.close()
  }
  return isOwn ? [await safetensorsOf(file)] : undefined
}

/** A file says itself which format its panels have, and config.json must say the same. */
function checkMark({ path, metadata }: SafetensorsFile, panels: QuantizedFormat | undefined): void {
  const mark = metadata.get("format")
  if (panels ? mark === markOf(panels) : !isMark(mark)) return
  throw new RangeError(
    `${path} has the format ${show(mark)} in its metadata, expected ` +
      `${panels ? show(markOf(panels)) : "none"} as config.json names its quantization. ` +
      "Quantize the model again",
  )
}

/** A tensor of an open file; in panels where these have a format. */
export function storedIn(
  { path, read }: SafetensorsFile,
  name: string,
  { dtype, shape, bytes }: TensorEntry,
  panels: QuantizedFormat | undefined,
): StoredTensor {
  const [rows = 1] = shape
  const rowBytes = rows === 0 ? 0 : bytes / rows
  return {
    name,
    file: path,
    dtype,
    shape,
    bytes,
    form: dtype === "U8" ? panels : engineDType(dtype),
    async read(start, count, target) {
      checkRows(`${path}: ${show(name)}`, start, count, rows, target.length, rowBytes)
      await read(name, start * rowBytes, target)
    },
  }
}
