// Adapters of a model, as applications ask for them.
import { checkObject } from "../../engine/index.ts"
import type { FileSource } from "../files/source.ts"
import { show } from "../json.ts"
import { internals, LanguageModel } from "../language_model.ts"
import { type Adapter, adapterInternals, createAdapter } from "./adapter.ts"
import { numbersOf, openAdapter, type StoredAdapter } from "./files.ts"
import { checkFingerprint } from "./fingerprint.ts"
import { type MergeOptions, merge } from "./merge.ts"
import { type AdapterOptions, checkAdapterOptions, targetsFor } from "./options.ts"
import { originalOf } from "./shares.ts"
import { type AdapterTensor, readNumbers } from "./tensors.ts"

/** How an adapter is loaded where its files do not say. */
export interface LoadAdapterOptions {
  /** Of a state dict, which has no config: alpha; its rank is that of its tensors. */
  readonly alpha?: number
  readonly rankStabilised?: boolean
  /** For further training: instead of the files' dropout, and of what follows, whose seed no file has. */
  readonly dropout?: number
  readonly seed?: number
  /** Beside whatever weights of the same shapes, where its file tells that it was made beside others. */
  readonly anyBase?: boolean
}

/**
 * Puts a new adapter beside the weights of a model, which it leaves as they are: B is zeros, so that the
 * model says what it said. What is asked of the model goes through it from then on. Throws TypeError and
 * RangeError naming the option.
 */
export async function addAdapter(
  model: LanguageModel,
  options: AdapterOptions = {},
): Promise<Adapter> {
  const host = hostIn("addAdapter", model)
  const config = checkAdapterOptions("addAdapter", options)
  const adapter = await createAdapter(host, "addAdapter", config)
  model.adapter = adapter
  return adapter
}

/**
 * Puts an adapter beside the weights of a model: PEFT's folder, or a file with a state dict such as
 * CoreNet's. Throws Error for what is not there, SyntaxError, TypeError and RangeError for what is not an
 * adapter of this model, naming the file and what is wrong. What `save` wrote knows the weights that it was made
 * beside, in whatever dtype: others are refused.
 */
export async function loadAdapter(
  model: LanguageModel,
  source: FileSource,
  options: LoadAdapterOptions = {},
): Promise<Adapter> {
  const host = hostIn("loadAdapter", model)
  checkObject("loadAdapter: options", options)
  const stored = await openAdapter(source)
  try {
    const { dropout, seed, anyBase = false } = options
    if (typeof anyBase !== "boolean") {
      throw new TypeError(`loadAdapter: anyBase must be true or false, got ${show(anyBase)}`)
    }
    const { base } = stored
    if (base && !anyBase) {
      const { usage, residence } = host.source
      await usage.reading(() =>
        residence.during(() => checkFingerprint(stored.name, base, host.source)),
      )
    }
    const further = {
      ...(dropout !== undefined && { dropout }),
      ...(seed !== undefined && { seed }),
    }
    const found = { ...configOf(stored, options), ...further }
    const config = checkAdapterOptions("loadAdapter", found)
    const original = originalOf(model.config)
    const modules = new Map([...stored.modules].map(([name, parts]) => [original(name), parts]))
    const names = [...modules.keys()]
    const exact = { ...config, targets: targetsFor(model.config, names, config.targets) }
    const left = new Set([...modules.values()].flatMap((parts) => [...parts.values()]))
    const adapter = await createAdapter(host, stored.name, exact, async (tensor) => {
      const { module, role, shape } = tensor
      const found = modules.get(module.name)?.get(role)
      if (!found)
        throw new RangeError(`${stored.name} has no ${tensor.name}. Save the whole adapter`)
      left.delete(found)
      return numbersOf(found, shape)
    })
    for (const { file, name } of left) {
      await adapter.close()
      throw new RangeError(
        `${file} holds ${show(name)}, which an adapter of kind ${config.kind} does not take there: ` +
          "magnitudes are of DoRA, and of linear layers alone",
      )
    }
    model.adapter = adapter
    return adapter
  } finally {
    await stored.close()
  }
}

/** The same adapter beside another model of the same sizes, whose requests go through it: a copy of its numbers. */
export async function copyAdapter(
  adapter: Adapter,
  { tensors, backend }: LanguageModel,
  to: LanguageModel,
): Promise<Adapter> {
  const { listed } = adapterInternals(adapter, tensors)
  const byName = new Map(listed.map((each) => [each.name, each]))
  const copy = await createAdapter(internals(to).host, "copyAdapter", adapter.config, ({ name }) =>
    readNumbers(byName.get(name) as AdapterTensor, { backend }),
  )
  copy.scale = adapter.scale
  to.adapter = copy
  return copy
}

/**
 * Folds an adapter into the weights of its model and closes it. Throws RangeError for quantized weights, and,
 * unless `tied` says what to do, for the adapter of a table that also gives the logits.
 */
export async function mergeAdapter(
  model: LanguageModel,
  adapter: Adapter,
  options: MergeOptions = {},
): Promise<void> {
  hostIn("mergeAdapter", model)
  checkObject("mergeAdapter: options", options)
  const { tied } = options
  if (tied !== undefined && tied !== "refuse" && tied !== "drop" && tied !== "keep") {
    throw new RangeError(`mergeAdapter: tied must be "refuse", "drop" or "keep", got ${show(tied)}`)
  }
  await merge(model, adapter, options)
}

/** What a config says, or the tensors and `options` where there is none. */
function configOf(
  { name, config, modules }: StoredAdapter,
  { alpha, rankStabilised }: LoadAdapterOptions,
): AdapterOptions {
  if (config) return config
  if (alpha === undefined) {
    throw new RangeError(
      `${name} does not say its alpha. Give it: loadAdapter(model, file, { alpha: 32 })`,
    )
  }
  const ranks = [...modules.values()].map((parts) => parts.get("a")?.shape[0] ?? 0)
  const rank = ranks[0] as number
  const kind = [...modules.values()].some((parts) => parts.has("magnitude")) ? "dora" : "lora"
  return { kind, rank, alpha, ...(rankStabilised !== undefined && { rankStabilised }) }
}

function hostIn(where: string, model: unknown) {
  if (model instanceof LanguageModel) return internals(model).host
  throw new TypeError(`${where}: the model must be an OpenELM, got ${show(model)}`)
}
