// The sizes of an OpenELM: what they derive from, the four released ones, and its config.json. The
// scaling rule itself is in scaling.ts.
import { checkObject, isSingle, kindOf } from "../../../engine/index.ts"
import type { DecoderConfig } from "../../architecture.ts"
import { checkEnds } from "../../generate/generation.ts"
import { checkNumber, show } from "../../json.ts"
import { checkMultipliers, type Multipliers, makeDivisible, perLayer } from "./scaling.ts"
import { type ModelName, modelNames, releasedSizes, type SizeName } from "./sizes.ts"

export type { Multipliers } from "./scaling.ts"

/** What a config derives from; what is left out is as in the released models. */
export interface ConfigSpec {
  readonly name?: string
  readonly layers: number
  readonly modelDim: number
  /** Even, since RoPE rotates pairs. */
  readonly headDim: number
  readonly vocabSize?: number
  /** Query heads that share one key/value head; Apple's `num_gqa_groups`. */
  readonly queryHeadsPerKeyHead?: number
  /** Query width over model width: the paper's α. */
  readonly qkvMultipliers?: Multipliers
  /** Feed-forward width over model width: the paper's β. */
  readonly ffnMultipliers?: Multipliers
  /** Feed-forward widths are multiples of this. */
  readonly ffnDivisor?: number
  readonly ropeBase?: number
  readonly ropeMaxLength?: number
  readonly maxContext?: number
  readonly normEps?: number
  readonly bosId?: number
  readonly eosId?: number
  /** All tokens that end a text, where there are several; then `eosId` is the first of them. */
  readonly eosIds?: readonly number[]
  /** The token that batches are filled up with; no loss, no embedding gradient. CoreNet's, which
   *  Hugging Face's `pad_token_id` is not: that is often a token with a meaning, such as EOS. */
  readonly paddingIndex?: number
}

/** A spec with everything filled in, and the sizes H, G and F of every layer. */
export interface ModelConfig
  extends Omit<DecoderConfig, keyof ConfigSpec>,
    Required<Omit<ConfigSpec, "paddingIndex" | "eosIds">>,
    Pick<ConfigSpec, "paddingIndex" | "eosIds"> {}

const modelType = "openelm"

// Name here → name in config.json, lowest and highest value.
const integers = {
  layers: ["num_transformer_layers", 1, 1024],
  modelDim: ["model_dim", 1, 65536],
  headDim: ["head_dim", 2, 1024],
  vocabSize: ["vocab_size", 1, 2 ** 24],
  queryHeadsPerKeyHead: ["num_gqa_groups", 1, 1024],
  ffnDivisor: ["ffn_dim_divisor", 1, 65536],
  ropeMaxLength: ["rope_max_length", 1, 2 ** 24],
  maxContext: ["max_context_length", 1, 2 ** 24],
  bosId: ["bos_token_id", 0, 2 ** 24],
  eosId: ["eos_token_id", 0, 2 ** 24],
  paddingIndex: ["padding_index", 0, 2 ** 24],
} as const
const reals = {
  ropeBase: ["rope_freq_constant", 1, 1e12],
  normEps: ["rms_norm_eps", 0, 1],
} as const
const multipliers = {
  qkvMultipliers: "qkv_multipliers",
  ffnMultipliers: "ffn_multipliers",
} as const

const released = {
  vocabSize: 32000,
  queryHeadsPerKeyHead: 4,
  qkvMultipliers: [0.5, 1],
  ffnMultipliers: [0.5, 4],
} as const
const defaults = {
  ffnDivisor: 256,
  ropeBase: 10000,
  ropeMaxLength: 4096,
  maxContext: 2048,
  normEps: 1e-6,
  bosId: 1,
  eosId: 2,
} as const

/**
 * A released size by name: 270M, 450M, 1.1B or 3B, also as OpenELM-1_1B, in any case.
 * `changes` replaces parts, such as a vocabulary of 32128. Throws RangeError for other names.
 */
export function configOf(name: SizeName, changes: Partial<ConfigSpec> = {}): ModelConfig {
  if (typeof name !== "string") {
    throw new TypeError(`configOf: a model size is a name such as "270M", got ${kindOf(name)}`)
  }
  checkObject("configOf: the changes", changes)
  const spec = sizeNamed(name)
  if (spec) return scaledConfig({ ...spec, ...changes })
  throw new RangeError(`No model size ${show(name)}. Known sizes: ${modelNames.join(", ")}`)
}

const sizeNamed = (name: string): ConfigSpec | undefined =>
  releasedSizes.get(
    name
      .replace(/^openelm-/i, "")
      .replace("_", ".")
      .toUpperCase() as ModelName,
  )

/** The config of a released size by its name, in any spelling; undefined for others. */
export function configOfSize(name: string): ModelConfig | undefined {
  const size = sizeNamed(name)
  return size && scaledConfig(size)
}

/** The fields of a config.json that follow from the name of a released size; undefined for others. */
export function fieldsOfSize(name: unknown): Record<string, unknown> | undefined {
  const size = typeof name === "string" ? configOfSize(name) : undefined
  return size && configJson(size)
}

/** A config by the layer-wise scaling rule. Throws RangeError or TypeError naming the field. */
export function scaledConfig(spec: ConfigSpec): ModelConfig {
  checkObject("scaledConfig: the spec", spec)
  const given = Object.fromEntries(Object.entries(spec).filter(([, v]) => v !== undefined))
  return derive({ name: "OpenELM", ...released, ...defaults, ...given }, (key) => `config: ${key}`)
}

// ---- Checks ---------------------------------------------------------------------------

type Raw = Readonly<Record<string, unknown>>

/** Checks every field and adds the sizes of each layer; `named` says where a field stands. */
function derive(raw: Raw, named: (key: string) => string): ModelConfig {
  for (const [key, [, from, to]] of Object.entries({ ...integers, ...reals })) {
    const isLeftOut = key === "paddingIndex" && raw[key] === undefined
    if (isLeftOut || (key === "eosId" && raw.eosIds !== undefined)) continue
    checkNumber(named(key), raw[key], from, to, Object.hasOwn(integers, key))
    if (isSingle(raw[key] as number)) continue
    throw new RangeError(
      `${named(key)} is ${raw[key]}, expected 0 or from 1.2e-38: f32 holds no less`,
    )
  }
  const config = {
    ...raw,
    ...checkEnds(named("eosId"), raw.eosIds, raw.vocabSize),
  } as unknown as ModelConfig
  const { layers, modelDim, headDim, queryHeadsPerKeyHead, vocabSize } = config
  for (const key of Object.keys(multipliers)) checkMultipliers(named(key), raw[key], layers)
  for (const key of ["bosId", "eosId", "paddingIndex"] as const) {
    if ((config[key] ?? 0) < vocabSize) continue
    throw new RangeError(
      `${named(key)} is ${config[key]}, expected an id below the ${vocabSize} of the vocabulary`,
    )
  }
  if (headDim % 2 !== 0) {
    throw new RangeError(`${named("headDim")} is ${headDim}, expected an even number (RoPE pairs)`)
  }
  const headStep = headDim * queryHeadsPerKeyHead
  const queryHeads = perLayer(config.qkvMultipliers, layers).map(
    (m) => makeDivisible(modelDim * m, headStep) / headDim,
  )
  const ffnDims = perLayer(config.ffnMultipliers, layers).map((m) =>
    makeDivisible(m * modelDim, config.ffnDivisor),
  )
  const keyHeads = queryHeads.map((h) => h / queryHeadsPerKeyHead)
  if (Math.max(...ffnDims, ...queryHeads.map((h) => h * headDim)) > 2 ** 20) {
    throw new RangeError(`${named("ffnMultipliers")}: a layer is wider than 1048576. Use smaller`)
  }
  return { ...config, modelType, queryHeads, keyHeads, ffnDims }
}

// ---- config.json --------------------------------------------------------------------------------

// Fields that this engine supports with these values only. Absent means the first.
const fixed: Readonly<Record<string, readonly unknown[]>> = {
  model_type: [modelType],
  normalization_layer_name: ["rms_norm"],
  normalize_qk_projections: [true],
  share_input_output_layers: [true],
  ffn_with_glu: [true],
  activation_fn_name: ["swish", "silu"],
  activation: ["silu", "swish"],
  quantization_config: [],
}

/** The config of a config.json with OpenELM's field names. Throws TypeError or RangeError that names
 *  `source` and the field. */
export function parseConfig(file: Raw, source: string): ModelConfig {
  for (const [field, values] of Object.entries(fixed)) {
    if (!Object.hasOwn(file, field) || values.includes(file[field])) continue
    const expected = values.length > 0 ? values.map(show).join(" or ") : "no such field"
    throw new RangeError(
      `${source}: ${field} is ${show(file[field])}, expected ${expected}. Use another model`,
    )
  }
  const raw: Record<string, unknown> = { ...defaults, name: nameOf(file.model_name, source) }
  for (const [key, field] of fileNames) {
    if (Object.hasOwn(file, field)) raw[key] = file[field]
  }
  if (Array.isArray(raw.eosId)) raw.eosIds = raw.eosId
  raw.qkvMultipliers ??= multipliersOf(file)
  const config = derive(raw, (key) => `${source}: ${fileNames.get(key)}`)
  checkHeads(source, "num_query_heads", file.num_query_heads, config.queryHeads)
  checkHeads(source, "num_kv_heads", file.num_kv_heads, config.keyHeads)
  return config
}

const fileNames: ReadonlyMap<string, string> = new Map([
  ...Object.entries({ ...integers, ...reals }).map(([key, [field]]) => [key, field] as const),
  ...Object.entries(multipliers),
])

/** The config as Apple's config.json, an object for JSON.stringify; `parseConfig` reads it back. */
export function configJson(config: ModelConfig): Record<string, unknown> {
  const fields = [...fileNames].map(([key, field]) => [field, config[key as keyof ModelConfig]])
  const code = "apple/OpenELM-270M--"
  return {
    model_name: config.name,
    architectures: ["OpenELMForCausalLM"],
    auto_map: {
      AutoConfig: `${code}configuration_openelm.OpenELMConfig`,
      AutoModelForCausalLM: `${code}modeling_openelm.OpenELMForCausalLM`,
    },
    ...Object.fromEntries(fields.filter(([, value]) => value !== undefined)),
    ...(config.eosIds && { eos_token_id: config.eosIds }),
    ...Object.fromEntries(Object.entries(fixed).flatMap(([f, [v]]) => (v ? [[f, v]] : []))),
    num_query_heads: config.queryHeads,
    num_kv_heads: config.keyHeads,
  }
}

/** Multipliers with one for each layer, as some readers need them; nothing for other families. */
export function listedMultipliers(config: DecoderConfig): Record<string, unknown> {
  const { modelType: family, ffnMultipliers, layers } = config as ModelConfig
  return family === modelType ? { ffn_multipliers: perLayer(ffnMultipliers, layers) } : {}
}

function nameOf(given: unknown, source: string): string {
  if (typeof given === "string" && given !== "") return given
  if (given !== undefined) throw new TypeError(`${source}: model_name is ${show(given)}`)
  return source.split(/[\\/]/).at(-2) || "OpenELM"
}

/** Multipliers that give the listed query heads, for a file that only has the heads. */
function multipliersOf({ num_query_heads, head_dim, model_dim }: Raw): unknown {
  if (!Array.isArray(num_query_heads)) return undefined
  return num_query_heads.map((h) => (Number(h) * Number(head_dim)) / Number(model_dim))
}

/** A stored list must say what the multipliers say: other readers go by the multipliers. */
function checkHeads(
  source: string,
  field: string,
  given: unknown,
  derived: readonly number[],
): void {
  if (given === undefined) return
  const list: readonly unknown[] = Array.isArray(given) ? given : [given]
  if (list.length === derived.length && derived.every((n, i) => n === list[i])) return
  const layer = derived.findIndex((n, i) => n !== list[i])
  throw new RangeError(
    `${source}: ${field} is ${show(given)}, but qkv_multipliers, model_dim, head_dim and ` +
      `num_gqa_groups give ${show(derived)}` +
      `${layer < 0 ? "" : ` (layer ${layer}: ${derived[layer]})`}. Make them agree`,
  )
}
