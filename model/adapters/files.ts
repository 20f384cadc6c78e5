// Adapters in files: PEFT's folders, adapter_config.json and adapter_model.safetensors, read and written;
// state dicts of CoreNet, which hold the base weights too, read.  github.com/huggingface/peft
import { sizeOf } from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import type { DecoderConfig } from "../architecture.ts"
import type { StoredTensor } from "../checkpoints/checkpoint.ts"
import { beginsLikeHeader, type PlainDType, plainDTypes } from "../checkpoints/header.ts"
import { plainName } from "../checkpoints/names.ts"
import { f32Rows } from "../checkpoints/numbers.ts"
import {
  safetensorsBytes,
  safetensorsOf,
  type TensorData,
  writeSafetensors,
} from "../checkpoints/safetensors.ts"
import { storedIn } from "../checkpoints/safetensors_folder.ts"
import { onlyFinite } from "../checkpoints/saving.ts"
import { openTorchTensors } from "../checkpoints/torch_file.ts"
import { writeFileWhole } from "../files/atomic.ts"
import { type FileSource, pathToWrite, treeOf } from "../files/source.ts"
import { type FileTree, readIfThere } from "../files/tree.ts"
import { parseJson, show } from "../json.ts"
import { type Fingerprint, fingerprintKey, readFingerprint } from "./fingerprint.ts"
import { type AdapterConfig, type AdapterOptions, endsFor, targetsFor } from "./options.ts"
import { peftConfig, peftJson } from "./peft_config.ts"
import type { AdapterTensor } from "./tensors.ts"

const configName = "adapter_config.json"
const weightsNames = ["adapter_model.safetensors", "adapter_model.bin"] as const
const jsonLimit = 1 << 20

/** Files that an adapter is saved in. */
export const savedAdapterFiles: readonly string[] = [configName, weightsNames[0]]

/** An adapter as it lies in files. */
export interface StoredAdapter {
  /** The file of its tensors, for messages. */
  readonly name: string
  /** What its config says; undefined of a state dict, which has none. */
  readonly config: AdapterOptions | undefined
  /** The weights that it was made beside, where its file says it: PEFT's do not. */
  readonly base: Fingerprint | undefined
  /** By module, and by "a", "b" and "magnitude". */
  readonly modules: ReadonlyMap<string, ReadonlyMap<string, StoredTensor>>
  close(): Promise<void>
}

/** Opens PEFT's folder, or a file with the tensors of an adapter. Throws Error for what is not there,
 *  SyntaxError, TypeError and RangeError for what is no adapter that this engine has. */
export async function openAdapter(source: FileSource): Promise<StoredAdapter> {
  const tree = treeOf(source, {}, "loadAdapter: the folder")
  const bytes = await readIfThere(tree, configName, jsonLimit)
  const from = tree.nameOf(configName)
  const config = bytes && peftConfig(parseJson(bytes, from), from)
  const file = tree.file ?? (await weightsIn(tree))
  const { tensors, metadata, close } = await openTensors(tree, file)
  const name = tree.nameOf(file)
  try {
    return {
      name,
      config,
      base: readFingerprint(metadata, name),
      modules: modulesIn(tensors, config !== undefined),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function weightsIn(tree: FileTree): Promise<string> {
  for (const name of weightsNames) if (await tree.has(name)) return name
  throw new Error(
    `${tree.name} holds no ${weightsNames.join(" or ")}. Give the folder of an adapter`,
  )
}

async function openTensors(tree: FileTree, name: string) {
  const file = await tree.open(name)
  let isOpen = true
  try {
    if (await beginsLikeHeader(file)) {
      isOpen = false
      const found = await safetensorsOf(file)
      const tensors = [...found.tensors].map(
        ([name, entry]) => [name, storedIn(found, name, entry, undefined)] as const,
      )
      return { ...found, tensors: new Map(tensors) }
    }
    const tensors = await openTorchTensors(file)
    if (!tensors)
      throw new SyntaxError(`${file.name} is neither safetensors nor a file of torch.save`)
    isOpen = false
    return { tensors, metadata: new Map<string, string>(), close: file.close }
  } finally {
    if (isOpen) await file.close()
  }
}

const role =
  /\.(lora_A|lora_B|lora_magnitude_vector|lora_embedding_A|lora_embedding_B)(?:\.(?!bias$)\w+)?(\.weight)?$/
const roles: Readonly<Record<string, string>> = {
  lora_A: "a",
  lora_B: "b",
  lora_magnitude_vector: "magnitude",
  lora_embedding_A: "a",
  lora_embedding_B: "b",
}

/** The tensors of adapters by module; `all`: the file holds nothing else. */
function modulesIn(
  tensors: ReadonlyMap<string, StoredTensor>,
  all: boolean,
): Map<string, Map<string, StoredTensor>> {
  const found = new Map<string, Map<string, StoredTensor>>()
  for (const [name, tensor] of tensors) {
    const parts = role.exec(name)
    if (!parts) {
      if (!all) continue
      throw new RangeError(
        `${tensor.file} holds ${show(name)}, which is no part of LoRA. Save the adapter without it`,
      )
    }
    const module = plainName(name.slice(0, parts.index).replace(/^base_model\.model\./, ""))
    const own = found.get(module) ?? new Map<string, StoredTensor>()
    found.set(module, own)
    const kind = roles[parts[1] as string] as string
    if (own.has(kind)) {
      throw new RangeError(`${tensor.file} holds ${show(name)} beside another ${kind} of ${module}`)
    }
    own.set(kind, tensor)
  }
  if (found.size > 0) return found
  const [first] = tensors.values()
  throw new RangeError(
    `${first?.file ?? "the file"} holds no tensors of an adapter, such as lora_A.weight`,
  )
}

/** Numbers of a stored tensor, of a shape that is expected. Throws RangeError for another. */
export async function numbersOf(
  tensor: StoredTensor,
  shape: readonly number[],
): Promise<Float32Array> {
  const { file, name, dtype } = tensor
  if (tensor.shape.length !== shape.length || tensor.shape.some((n, i) => n !== shape[i])) {
    throw new RangeError(
      `${file}: ${show(name)} is ${show(tensor.shape)}, this model's takes ${show(shape)}. Is it an ` +
        "adapter of another model?",
    )
  }
  const form = plainDTypes.find((each) => each === tensor.form)
  if (!form && !tensor.asF32)
    throw new RangeError(`${file}: ${show(name)} is ${dtype}, expected floats`)
  const values = new Float32Array(sizeOf(shape))
  const bytes = new Uint8Array(values.buffer)
  await f32Rows(tensor, form as PlainDType)(0, shape[0] as number, bytes)
  const bad = values.findIndex((x) => !Number.isFinite(x))
  if (bad < 0) return values
  throw new RangeError(`${file}: ${show(name)} holds ${values[bad]} at ${bad}`)
}

/** An adapter to be written. */
interface Saved {
  readonly model: DecoderConfig
  readonly config: AdapterConfig
  readonly listed: readonly AdapterTensor[]
  /** Of the weights that it stands beside. */
  readonly base: Fingerprint
  read(tensor: AdapterTensor): Promise<Float32Array>
}

const metadataOf = ({ base }: Saved) => ({
  format: "pt",
  [fingerprintKey]: JSON.stringify(base),
})

/** Writes PEFT's folder, its config last. */
export async function saveAdapter(folder: string | URL, saved: Saved): Promise<void> {
  const path = pathToWrite(folder, "save: the folder")
  const { join } = fromNode("node:path")
  await fromNode("node:fs/promises").mkdir(path, { recursive: true })
  await writeSafetensors(join(path, weightsNames[0]), tensorsToWrite(saved), metadataOf(saved))
  await writeFileWhole(join(path, configName), configToWrite(saved))
}

/** The files of the folder by their names. */
export async function adapterFiles(saved: Saved): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const [name] = weightsNames
  const weights = await safetensorsBytes(name, tensorsToWrite(saved), metadataOf(saved))
  return new Map([
    [configName, configToWrite(saved)],
    [name, weights],
  ])
}

function tensorsToWrite({ listed, read }: Saved): Map<string, TensorData> {
  const tensors = new Map<string, TensorData>()
  for (const tensor of listed) {
    const { name, module, shape } = tensor
    const published = `base_model.model.${module.published}`
    const data = (async function* () {
      yield await read(tensor)
    })()
    tensors.set(published + name.slice(module.name.length), { dtype: "F32", shape, data })
  }
  return onlyFinite(new Map([...tensors].sort(([a], [b]) => (a < b ? -1 : 1))))
}

function configToWrite({ model, config, listed }: Saved): Uint8Array<ArrayBuffer> {
  const names = [...new Set(listed.map(({ module }) => module.name))]
  // Fused weights may have been asked for by names that files do not have.
  const isPublished = targetsFor(model, names, config.targets) === config.targets
  const targets = isPublished ? config.targets : endsFor(model, names)
  const json = JSON.stringify(peftJson(config, model.name, targets), null, 2)
  return new TextEncoder().encode(`${json}\n`)
}
