// What a model is made of, loaded or random: its config, its weights on a backend, its tokenizer and its
// chat templates.
import { checkObject, checkWhole } from "../engine/index.ts"
import type { DecoderConfig } from "./architecture.ts"
import type { SizeName } from "./architectures/openelm/sizes.ts"
import { type ChatTemplates, noTemplates, templatesOf } from "./chat/templates.ts"
import { checkModelOptions, explained, type ModelSettings } from "./checks.ts"
import { checkConfig, publishedConfig } from "./config.ts"
import { type FileSource, treeOf } from "./files/source.ts"
import { tokenizerFor } from "./generate/text.ts"
import type { Placement } from "./internals.ts"
import { openModel } from "./opened.ts"
import type { LoadOptions, ModelOptions, RandomOptions } from "./options.ts"
import type { Tokenizer } from "./tokenizer/index.ts"
import { keepingFor } from "./weights/kept.ts"
import { lostDevices, Residence } from "./weights/restore.ts"
import { type LoadedWeights, loadWeights, randomWeights, weightsFrom } from "./weights/weights.ts"

/** All that a LanguageModel is made of. */
export interface ModelParts {
  readonly config: DecoderConfig
  readonly options: ModelSettings
  readonly loaded: LoadedWeights
  readonly tokenizer: Tokenizer | undefined
  readonly residence: Residence
  /** Read when they are first asked for. */
  templates(): Promise<ChatTemplates>
}

async function build(
  config: DecoderConfig,
  options: ModelOptions,
  tokenizer: Tokenizer | undefined,
  load: (checked: ModelSettings) => Promise<LoadedWeights>,
): Promise<Omit<ModelParts, "templates">> {
  const checked = checkModelOptions(config, options)
  const { backend } = checked
  try {
    const lost = await lostDevices(backend)
    const loaded = await load(checked)
    const residence = new Residence(backend, loaded.refill, lost)
    return { config, options: checked, loaded, tokenizer, residence }
  } catch (error) {
    throw explained(error, config, checked.dtype)
  }
}

/** The parts of a model from a folder; see LanguageModel.load. */
export async function loadParts(
  folder: FileSource,
  options: LoadOptions,
  placement: Placement,
): Promise<ModelParts> {
  checkObject("load: options", options)
  const opened = await openModel(folder, options, "load: the folder")
  try {
    const { dtype, of: kept } = keepingFor(opened, options.dtype)
    const { config, chatTemplates } = opened
    const tokenizer = await tokenizerFor(options.tokenizer, config, opened.tokenizer, options)
    const filling = { ...placement, progress: options.onProgress }
    const parts = await build(config, { ...options, dtype }, tokenizer, ({ backend }) =>
      loadWeights(opened, backend, kept, filling),
    )
    // Later, when the signal may have ended something else.
    const { timeoutMs, token } = options
    let found: Promise<ChatTemplates> | undefined
    const templates = () => {
      found ??= templatesOf(treeOf(folder, { timeoutMs, token }), chatTemplates)
      found.catch(() => {
        found = undefined
      })
      return found
    }
    return { ...parts, templates }
  } finally {
    await opened.close()
  }
}

/** The parts of a model of seeded weights; see LanguageModel.random. */
export async function randomParts(
  size: SizeName | DecoderConfig,
  options: RandomOptions,
  placement: Placement,
): Promise<ModelParts> {
  checkObject("random: options", options)
  if (typeof size !== "string") checkConfig("random: the size, where it is no name,", size)
  const config = typeof size === "string" ? publishedConfig(size) : size
  const { seed = 0 } = options
  checkWhole("seed", seed, 0, 0xffffffff)
  const tokenizer = await tokenizerFor(options.tokenizer, config)
  const filling = { ...placement, progress: options.onProgress }
  const { fill } = placement
  const parts = await build(config, options, tokenizer, ({ backend, dtype }) =>
    fill
      ? weightsFrom(config, backend, dtype, fill, filling)
      : randomWeights(config, backend, dtype, seed, filling),
  )
  return { ...parts, templates: async () => noTemplates }
}
