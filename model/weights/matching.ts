// A model folder: config.json with model.safetensors, or with shards and their index. Checks every
// tensor's name, shape and dtype against the config when it is opened; reads rows when asked.
import type { DecoderConfig } from "../architecture.ts"
import { formatOf, markOf, type QuantizedFormat } from "../checkpoints/format.ts"
import { isBuffer, plainName } from "../checkpoints/names.ts"
import type { SafetensorsFile, TensorEntry } from "../checkpoints/safetensors.ts"
import { openWeights } from "../checkpoints/shards.ts"
import { parameterCount, parseConfig, tensorShapes } from "../config.ts"
import { fileIn, readFile, readIfThere } from "../files/disk.ts"
import { checkWaiting, type Waiting } from "../files/http.ts"
import { generationFile, parseGeneration } from "../generate/generation.ts"
import { isObject, parseJson, show } from "../json.ts"
import { specsOf, stored as storedForm } from "./layout.ts"

/** One weight in its file. */
export interface TensorSource {
  /** U8 for the panels of a quantized matrix. */
  readonly dtype: "F32" | "F16" | "BF16" | "U8"
  readonly shape: readonly number[]
  /** The file, where there is one. */
  readonly path?: string
  /** Fills `target` with rows [start, start + count); a row of a vector is one number, one of
   *  panels a panel. */
  readRows(start: number, count: number, target: Uint8Array): void | Promise<void>
}

export interface ModelFolder {
  readonly path: string
  readonly config: DecoderConfig
  /** The format of its matrices, where they are quantized already. */
  readonly format: QuantizedFormat | undefined
  /** A weight by the name it has in `tensorShapes`. Throws RangeError for other names. */
  source(name: string): TensorSource
  /** Opens the same folder once more, with its time limit but without its signal. */
  reopen(): Promise<ModelFolder>
  close(): void
}

/** A tensor as it lies in one of the files. */
interface Stored {
  readonly file: SafetensorsFile
  readonly name: string
  readonly entry: TensorEntry
}

const configLimit = 1 << 20

/**
 * Opens a folder in the Hugging Face layout, by its path or its http or https URL; tensor names may
 * have the prefixes and wrappers of names.ts. Reading from it ends with the signal, or when a server
 * is silent for too long. Throws SyntaxError, TypeError or RangeError that names the file and what
 * is wrong with it.
 */
export async function openModelFolder(path: string, waiting: Waiting = {}): Promise<ModelFolder> {
  checkWaiting(waiting)
  const { config, format } = await readConfig(path, waiting)
  const files: SafetensorsFile[] = []
  const close = (): void => {
    for (const file of files) file.close()
  }
  try {
    await openWeights(path, files, { ...waiting, limit: weightsLimit(config) })
    for (const file of files) checkMark(file, format)
    const sources = sourcesOf(path, config, format, storedTensors(path, files))
    const source = (name: string): TensorSource => {
      const found = sources.get(name)
      if (found) return found
      throw new RangeError(
        `${path} has no weight ${show(name)}. Use a name of tensorShapes(config)`,
      )
    }
    const { timeoutMs } = waiting
    const reopen = () => openModelFolder(path, { timeoutMs })
    return { path, config, format, source, reopen, close }
  } catch (error) {
    close()
    throw error
  }
}

/** What config.json and, if it is there, generation_config.json of a folder say. */
export async function readConfig(
  path: string,
  waiting: Waiting = {},
): Promise<Pick<ModelFolder, "config" | "format">> {
  const file = fileIn(path, "config.json")
  const json = parseJson(await readFile(file, configLimit, waiting), file)
  const config = parseConfig(json, file)
  const format = isObject(json) ? formatOf(json, file) : undefined
  const other = fileIn(path, generationFile)
  const bytes = await readIfThere(other, configLimit, waiting)
  if (!bytes) return { config, format }
  const generation = parseGeneration(bytes, config.vocabSize, other)
  return { config: { ...config, generation }, format }
}

// ---- Tensors ------------------------------------------------------------------------------------

/** More bytes than any file of such a model has: its weights in f32, as much padding as they may have,
 *  buffers that some exports carry, and a header. */
const weightsLimit = (config: DecoderConfig): number => 5 * parameterCount(config) + 2 ** 27

/** A file says itself which format its panels have, and config.json must say the same. */
function checkMark({ path, metadata }: SafetensorsFile, format: QuantizedFormat | undefined): void {
  const mark = metadata.get("format")
  if (format ? mark === markOf(format) : !mark?.startsWith("openelm-")) return
  throw new RangeError(
    `${path} has the format ${show(mark)} in its metadata, expected ` +
      `${format ? show(markOf(format)) : "none"} as config.json names its quantization. ` +
      "Quantize the model again",
  )
}

/** All tensors of the files by their plain name. */
function storedTensors(folder: string, files: readonly SafetensorsFile[]): Map<string, Stored> {
  const found = new Map<string, Stored>()
  for (const file of files) {
    for (const [name, entry] of file.tensors) {
      if (isBuffer(name)) continue
      const plain = plainName(name)
      const other = found.get(plain)
      if (other) {
        throw new RangeError(
          `${folder} has both ${show(other.name)} and ${show(name)}. Remove one of them`,
        )
      }
      found.set(plain, { file, name, entry })
    }
  }
  return found
}

function sourcesOf(
  folder: string,
  config: DecoderConfig,
  format: QuantizedFormat | undefined,
  stored: ReadonlyMap<string, Stored>,
): Map<string, TensorSource> {
  const expected = tensorShapes(config)
  const unexpected = [...stored.keys()].filter((name) => !expected.has(name))
  if (unexpected.includes("lm_head.weight")) {
    throw new RangeError(
      `${folder} has lm_head.weight, but OpenELM's output shares token_embeddings.weight. ` +
        "Save the model again without lm_head.weight",
    )
  }
  const missing = [...expected.keys()].filter((name) => !stored.has(name))
  if (missing.length > 0) throw wrongNames(folder, "misses", missing, config)
  if (unexpected.length > 0) throw wrongNames(folder, "has unexpected", unexpected, config)
  const sources = new Map<string, TensorSource>()
  if (format) {
    for (const spec of specsOf(config)) {
      const { shape, dtype } = storedForm(spec, format)
      const want = dtype === "u8" ? "U8" : "F32"
      sources.set(spec.name, sourceOf(stored.get(spec.name) as Stored, shape, [want], false))
    }
    return sources
  }
  for (const [name, { shape, kind }] of expected) {
    const found = stored.get(name) as Stored
    sources.set(name, sourceOf(found, shape, plainDTypes, kind === "embedding"))
  }
  return sources
}

function wrongNames(folder: string, what: string, names: readonly string[], config: DecoderConfig) {
  const more = names.length > 3 ? ` and ${names.length - 3} more` : ""
  return new RangeError(
    `${folder} ${what} ${names.length === 1 ? "tensor" : `${names.length} tensors:`} ` +
      `${names.slice(0, 3).map(show).join(", ")}${more}. ` +
      `Is its config.json (${config.layers} layers) that of these weights?`,
  )
}

type SourceDType = TensorSource["dtype"]
const plainDTypes: readonly SourceDType[] = ["F32", "F16", "BF16"]

/** Checks one tensor. An embedding may have more rows than the vocabulary: padding, left unread. */
function sourceOf(
  stored: Stored,
  shape: readonly number[],
  dtypes: readonly SourceDType[],
  isEmbedding: boolean,
): TensorSource {
  const { file, name, entry } = stored
  const at = `${file.path}: ${show(name)}`
  const dtype = dtypes.find((known) => known === entry.dtype)
  const [rows, ...row] = shape as readonly [number, ...number[]]
  const [storedRows = 0, ...storedRow] = entry.shape
  const rowsFit = storedRows === rows || (isEmbedding && storedRows > rows)
  if (!rowsFit || storedRow.length !== row.length || row.some((n, i) => n !== storedRow[i])) {
    const least = isEmbedding ? " or more rows" : ""
    throw new RangeError(
      `${at} has shape ${show(entry.shape)}, expected ${show(shape)}${least}. ` +
        "Is config.json that of these weights?",
    )
  }
  if (!dtype) {
    const expected = dtypes.join(", ").replace(/, (?=\w+$)/, " or ")
    throw new TypeError(`${at} is ${entry.dtype}, expected ${expected}. Convert the model`)
  }
  const rowBytes = entry.bytes / storedRows
  const readRows = (start: number, count: number, target: Uint8Array): void | Promise<void> => {
    const inside = Number.isInteger(start) && start >= 0 && Number.isInteger(count) && count >= 0
    if (!inside || start + count > rows || target.length !== count * rowBytes) {
      throw new RangeError(
        `${at}: asked for ${show(count)} rows from ${show(start)} of ${rows} into ` +
          `${target.length} bytes, each takes ${rowBytes}`,
      )
    }
    return file.read(name, start * rowBytes, target)
  }
  return { dtype, shape, path: file.path, readRows }
}
