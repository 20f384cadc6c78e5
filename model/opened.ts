// A model whose weights are open to be read: what its config says, and each weight by its name.
import type { DecoderConfig } from "./architecture.ts"
import { architectureOf } from "./architectures/index.ts"
import type { CarriedTemplates } from "./chat/templates.ts"
import type { Checkpoint, Sourced } from "./checkpoints/checkpoint.ts"
import { configFile, openCheckpoint } from "./checkpoints/formats.ts"
import { plainName } from "./checkpoints/names.ts"
import type { QuantizedFormat } from "./checkpoints/quantized_format.ts"
import { configOfShapes } from "./checkpoints/shapes.ts"
import { parameterCount, parseConfig } from "./config.ts"
import type { Waiting } from "./files/http.ts"
import type { FileSource } from "./files/source.ts"
import type { FileTree } from "./files/tree.ts"
import { parseGeneration } from "./generate/generation.ts"
import { show } from "./json.ts"
import type { Tokenizer } from "./tokenizer/index.ts"
import { matched } from "./weights/matching.ts"
import type { TensorSource } from "./weights/rows.ts"

export interface OpenedModel {
  /** Its folder or file, for messages. */
  readonly name: string
  /** The files that it lies among. */
  readonly tree: FileTree
  readonly config: DecoderConfig
  /** The format of its matrices, where they are quantized already. */
  readonly format: QuantizedFormat | undefined
  /** A weight by the name it has in `tensorShapes`. Throws RangeError for other names. */
  source(name: string): TensorSource
  /** Chat templates that its format carries. */
  readonly chatTemplates: CarriedTemplates | undefined
  tokenizer(): Promise<Tokenizer | undefined>
  /** Opens the same once more, with its time limit but without its signal. */
  reopen(): Promise<OpenedModel>
  close(): Promise<void>
}

/**
 * Opens a model in any format of checkpoints/formats.ts, wherever it is. Reading from it ends with the
 * signal, or when a server is silent for too long. Throws Error, SyntaxError, TypeError or RangeError that
 * names the file and what is wrong with it.
 */
export async function openModel(
  from: FileSource,
  { signal, timeoutMs, token, endpoint, onDownload }: Waiting = {},
  name?: string,
): Promise<OpenedModel> {
  const weightsLimit = ({ value, source }: Sourced) => mostBytes(parseConfig(value, source))
  return openedFrom(
    await openCheckpoint(from, {
      ...{ signal, timeoutMs, token, endpoint, onDownload },
      ...{ name, weightsLimit },
    }),
  )
}

async function openedFrom(checkpoint: Checkpoint): Promise<OpenedModel> {
  try {
    const { name, tree, panels, tokenizer, close } = checkpoint
    const config = await configIn(checkpoint)
    const family = architectureOf(config)
    const advice = `Is its config.json (${config.layers} layers) that of these weights?`
    const strays = family.strays?.(config) ?? {}
    const sources = await matched(checkpoint, family.weights(config), strays, advice)
    const source = (weight: string): TensorSource => {
      const found = sources.get(weight)
      if (found) return found
      throw new RangeError(
        `${name} has no weight ${show(weight)}. Use a name of tensorShapes(config)`,
      )
    }
    const reopen = async () => openedFrom(await checkpoint.reopen())
    const { chatTemplates } = checkpoint
    const more = { tokenizer, chatTemplates, reopen, close }
    return { name, tree, config, format: panels, source, ...more }
  } catch (error) {
    await checkpoint.close()
    throw error
  }
}

/** What the config of a model in any format says. */
export async function readConfig(from: FileSource, waiting?: Waiting): Promise<DecoderConfig> {
  const checkpoint = await openCheckpoint(from, waiting)
  return configIn(checkpoint).finally(checkpoint.close)
}

/** What a checkpoint says of its model, and how it is meant to generate. */
export async function configIn(checkpoint: Checkpoint): Promise<DecoderConfig> {
  const { name, config, generation, tree, tensors } = checkpoint
  // A folder of this layout has a config.json, and who lost it is told so.
  const isFolder = tree.file === undefined
  const { value, source } =
    config ?? (isFolder ? await configFile(tree) : configOfShapes(tensors, name))
  const found = await corrected(parseConfig(value, source), tensors)
  if (!generation) return found
  const defaults = parseGeneration(generation.value, found.vocabSize, generation.source)
  return { ...found, generation: defaults }
}

/** A config with what only the tensors say. */
async function corrected(
  config: DecoderConfig,
  tensors: Checkpoint["tensors"],
): Promise<DecoderConfig> {
  const byPlainName = new Map([...tensors].map(([name, tensor]) => [plainName(name), tensor]))
  return (await architectureOf(config).corrected?.(config, byPlainName)) ?? config
}

/** More bytes than any file of such a model has: its weights in f32, as much padding as they may have,
 *  buffers that some exports carry, and a header. */
const mostBytes = (config: DecoderConfig): number => 5 * parameterCount(config) + 2 ** 27

/** The tokenizer of a model in any format; undefined where it has none. */
export async function tokenizerOfModel(
  from: FileSource,
  waiting?: Waiting,
): Promise<Tokenizer | undefined> {
  const checkpoint = await openCheckpoint(from, waiting)
  return checkpoint.tokenizer().finally(checkpoint.close)
}
