// The formats that weights are read from, and the one that a source is in.
import { checkWaiting, type Waiting } from "../files/http.ts"
import { type FileSource, treeOf } from "../files/source.ts"
import { type FileTree, readFile, readIfThere } from "../files/tree.ts"
import { parseJson } from "../json.ts"
import type { Candidate, Checkpoint, CheckpointFormat, Sourced } from "./checkpoint.ts"
import { ggufFile } from "./gguf_file.ts"
import { mlxFolder } from "./mlx_folder.ts"
import { quantizedFolder } from "./quantized_folder.ts"
import { safetensorsFolder } from "./safetensors_folder.ts"
import { torchFile } from "./torch_file.ts"

/** In the order in which they are asked: first those that know their own by a mark. */
const formats: readonly CheckpointFormat[] = [
  quantizedFolder,
  mlxFolder,
  safetensorsFolder,
  torchFile,
  ggufFile,
]

interface Opening extends Waiting {
  /** Begins the message about a source that is none. */
  readonly name?: string
  /** Most bytes of a file of weights, by the config; throws for a config that is wrong. */
  readonly weightsLimit?: (config: Sourced) => number
}

const jsonLimit = 1 << 20

/**
 * Opens weights in any of the formats. Reading from them ends with the signal, or when a server is silent
 * for too long. Throws Error for files that are not there, SyntaxError, TypeError or RangeError that names
 * the file and what is wrong with it.
 */
export async function openCheckpoint(from: FileSource, opening: Opening = {}): Promise<Checkpoint> {
  const { name, weightsLimit, ...waiting } = opening
  checkWaiting(waiting)
  const tree = treeOf(from, waiting, name)
  const candidate = candidateOf(tree, weightsLimit)
  for (const { name: format, open } of formats) {
    const found = await open(candidate)
    if (!found) continue
    // Later, when nobody watches any more, and the signal may have ended something else.
    const { signal: _, onDownload: __, ...lasting } = waiting
    const reopen = () => openCheckpoint(from, { weightsLimit, ...lasting })
    return { ...found, format, tree, reopen }
  }
  throw await notFound(tree)
}

function candidateOf(tree: FileTree, limit: Opening["weightsLimit"]): Candidate {
  const read = new Map<string, Promise<Sourced | undefined>>()
  const parsed = async (file: string): Promise<Sourced | undefined> => {
    const bytes = await readIfThere(tree, file, jsonLimit)
    const source = tree.nameOf(file)
    return bytes && { value: parseJson(bytes, source), source }
  }
  return {
    tree,
    json(file) {
      const found = read.get(file) ?? parsed(file)
      read.set(file, found)
      return found
    },
    weightsLimit: (config) => config && limit?.(config),
  }
}

/** The config.json of a folder that must have one. Throws Error where it has not. */
export async function configFile(tree: FileTree): Promise<Sourced> {
  const bytes = await readFile(tree, "config.json", jsonLimit)
  const source = tree.nameOf("config.json")
  return { value: parseJson(bytes, source), source }
}

/** What is wrong where no format knows the files. */
async function notFound(tree: FileTree): Promise<Error> {
  const { name, file, remark } = tree
  if (file !== undefined) {
    await (await tree.open(file)).close()
    const known = formats.map((format) => format.name).join(", ")
    return new RangeError(`${tree.nameOf(file)} is no file of weights. Give one of these: ${known}`)
  }
  // Its error says more, if it is missing, too, or no JSON at all.
  await configFile(tree)
  const files = [...new Set(formats.flatMap((format) => format.files))]
  const [last = "", ...others] = files.toReversed()
  return new Error(
    `${name} has neither ${others.toReversed().join(", ")} nor ${last}. ` +
      `Download the weights, or give the path of a file of them${remark === undefined ? "" : `. ${remark}`}`,
  )
}
