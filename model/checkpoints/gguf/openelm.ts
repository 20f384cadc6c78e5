// What GGUF files of the architecture `openelm` call its tensors and sizes.
import type { ModelConfig } from "../../architectures/openelm/config.ts"
import { configOfWidths } from "../../architectures/openelm/inferred.ts"
import { show } from "../../json.ts"
import type { Spec } from "../../weights/layout.ts"
import type { RowRange } from "../../weights/unpacking.ts"
import type { StoredTensor } from "../checkpoint.ts"
import type { Typed } from "./encode.ts"
import type { Metadata, MetadataValue } from "./header.ts"
import { stacked } from "./stored.ts"

export const architecture = "openelm"

/** Names in a file, without `.weight`, and ours; those of a layer follow `blk.N.` and `layers.N.`. */
const tensorNames = {
  model: { token_embd: "token_embeddings", output_norm: "norm", output: "lm_head" },
  layer: {
    attn_qkv: "attn.qkv_proj",
    attn_q_norm: "attn.q_norm",
    attn_k_norm: "attn.k_norm",
    attn_output: "attn.out_proj",
    ffn_down: "ffn.proj_2",
    ffn_norm: "ffn_norm",
    attn_norm: "attn_norm",
  },
  /** Rows of one matrix here: gates, then values. */
  gate: "ffn_gate",
  value: "ffn_up",
  gated: "ffn.proj_1",
} as const

type Names = Readonly<Record<string, string>>

/** Tensors by our names; those that have none keep theirs. */
export function renamed(tensors: ReadonlyMap<string, StoredTensor>): Map<string, StoredTensor> {
  const found = new Map<string, StoredTensor>()
  for (const [name, tensor] of tensors) {
    const [, layer, short = ""] = /^(?:blk\.(\d+)\.)?(\w+)\.weight$/.exec(name) ?? []
    const names: Names = layer === undefined ? tensorNames.model : tensorNames.layer
    const plain = Object.hasOwn(names, short) ? `${names[short]}.weight` : undefined
    const value = tensors.get(`blk.${layer}.${tensorNames.value}.weight`)
    const gate = tensors.get(`blk.${layer}.${tensorNames.gate}.weight`)
    if (plain !== undefined)
      found.set(layer === undefined ? plain : `layers.${layer}.${plain}`, tensor)
    else if (gate && value && tensor === gate) {
      const whole = `layers.${layer}.${tensorNames.gated}.weight`
      found.set(whole, stacked(whole, [gate, value]))
    } else if (!(gate && value && tensor === value)) found.set(name, tensor)
  }
  return found
}

/** What a config.json would say. Throws RangeError that names `source` and the key. */
export function configOf(
  metadata: Metadata,
  tensors: ReadonlyMap<string, StoredTensor>,
  source: string,
): Record<string, unknown> {
  const arch = metadata.get("general.architecture")
  if (arch !== architecture) {
    throw new RangeError(
      `${source}: general.architecture is ${show(arch)}, only ${show(architecture)} is read. ` +
        "Use another model",
    )
  }
  const layers = number(metadata, source, "block_count")
  const perLayer = (key: string): number[] => list(metadata, source, key, layers)
  const headDim = number(metadata, source, "attention.key_length")
  for (const key of ["attention.value_length", "rope.dimension_count"]) {
    const other = number(metadata, source, key)
    if (other === headDim) continue
    throw new RangeError(
      `${source}: openelm.${key} is ${other}, expected the key length ${headDim}`,
    )
  }
  const [rows = 0] = tensors.get("token_embeddings.weight")?.shape ?? []
  const widths = {
    modelDim: number(metadata, source, "embedding_length"),
    headDim,
    vocabSize: rows,
    queryHeads: perLayer("attention.head_count"),
    keyHeads: perLayer("attention.head_count_kv"),
    ffnDims: perLayer("feed_forward_length"),
  }
  const name = metadata.get("general.name")
  return {
    ...(typeof name === "string" && name !== "" && { model_name: name }),
    ...configOfWidths(widths, source),
    max_context_length: number(metadata, source, "context_length"),
    rope_freq_constant: shortest(number(metadata, source, "rope.freq_base", 10000)),
    rms_norm_eps: shortest(number(metadata, source, "attention.layer_norm_rms_epsilon")),
    ...ids(metadata, rows),
  }
}

function ids(metadata: Metadata, vocabSize: number): Record<string, number> {
  const id = (name: string, usual: number): number => {
    const value = metadata.get(`tokenizer.ggml.${name}_token_id`)
    return typeof value === "number" ? value : Math.min(usual, vocabSize - 1)
  }
  return { bos_token_id: id("bos", 1), eos_token_id: id("eos", 2) }
}

function number(metadata: Metadata, source: string, key: string, usual?: number): number {
  const value = metadata.get(`${architecture}.${key}`) ?? usual
  if (typeof value === "number") return value
  throw new RangeError(`${source}: ${architecture}.${key} is ${shown(value)}, expected a number`)
}

/** A number for each layer; one for all may be given by itself. */
function list(metadata: Metadata, source: string, key: string, layers: number): number[] {
  const value = metadata.get(`${architecture}.${key}`)
  const isWhole = Number.isSafeInteger(layers) && layers > 0 && layers <= 1024
  if (typeof value === "number" && isWhole) return new Array<number>(layers).fill(value)
  if (Array.isArray(value) && value.length === layers) {
    if (value.every((each) => typeof each === "number")) return value as number[]
  }
  throw new RangeError(
    `${source}: ${architecture}.${key} is ${shown(value)}, expected a number for each of ` +
      `${layers} layers`,
  )
}

const shown = (value: MetadataValue | undefined): string => show(value)

/** The shortest decimal number that f32 holds as this one. */
function shortest(single: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const x = Number(single.toPrecision(digits))
    if (Math.fround(x) === single) return x
  }
  return single
}

// ---- Writing ------------------------------------------------------------------------------------

const theirNames = ({ model, layer }: typeof tensorNames): Map<string, string> =>
  new Map([...Object.entries(model), ...Object.entries(layer)].map(([a, b]) => [b, a]))

/** The tensors that a weight becomes, and which rows of it each has. */
export function partsOf({ name, shape }: Spec): Map<string, readonly RowRange[]> {
  const [, layer, short = ""] = /^(?:layers\.(\d+)\.)?(.+)\.weight$/.exec(name) ?? []
  const at = layer === undefined ? "" : `blk.${layer}.`
  const rows = shape[0] as number
  if (short === tensorNames.gated) {
    const half = rows / 2
    return new Map([
      [`${at}${tensorNames.gate}.weight`, [{ start: 0, count: half }]],
      [`${at}${tensorNames.value}.weight`, [{ start: half, count: half }]],
    ])
  }
  const found = theirNames(tensorNames).get(short)
  return new Map([[`${at}${found}.weight`, [{ start: 0, count: rows }]]])
}

/** Metadata of a model, but for its tokenizer. */
export function metadataOf(config: ModelConfig, parameters: number): Record<string, Typed> {
  const { name, layers, maxContext, modelDim, headDim, ropeBase, normEps } = config
  const own: Record<string, Typed> = {
    block_count: { u32: layers },
    context_length: { u32: maxContext },
    embedding_length: { u32: modelDim },
    feed_forward_length: { i32s: config.ffnDims },
    "attention.head_count": { i32s: config.queryHeads },
    "attention.head_count_kv": { i32s: config.keyHeads },
    "rope.freq_base": { f32: ropeBase },
    "attention.layer_norm_rms_epsilon": { f32: normEps },
    "rope.dimension_count": { u32: headDim },
    "attention.key_length": { u32: headDim },
    "attention.value_length": { u32: headDim },
  }
  return {
    "general.architecture": { text: architecture },
    "general.type": { text: "model" },
    "general.name": { text: name },
    "general.size_label": { text: sizeLabel(parameters) },
    ...Object.fromEntries(Object.entries(own).map(([key, v]) => [`${architecture}.${key}`, v])),
  }
}

/** A number of weights with two digits or more: 5.9K, 97K, 271M. */
function sizeLabel(parameters: number): string {
  const [scale = 1e3, unit] = (
    [
      [1e12, "T"],
      [1e9, "B"],
      [1e6, "M"],
    ] as const
  ).find(([least]) => parameters > least) ?? [1e3, "K"]
  const x = parameters / scale
  const digits = Math.round(x) === 0 ? 0 : String(Math.round(x)).length
  return `${x.toFixed(Math.max(0, 2 - digits))}${unit}`
}
