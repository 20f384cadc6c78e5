// Llama: RMSNorm before each half of a block, rotary positions, SwiGLU, no biases; Touvron et al. 2023,
// arXiv 2302.13971. Of its family are TinyLlama (grouped query attention; 2401.02385) and MobiLlama, whose
// smaller sizes have one feed-forward network in all layers (Thawakar et al. 2024, 2402.16840).
import type { Tensor } from "../../engine/index.ts"
import { ropeFrequencies } from "../../ops/index.ts"
import type { Architecture, DecoderConfig, Rows, WeightKind, WeightSpec } from "../architecture.ts"
import type { StoredTensor } from "../checkpoints/checkpoint.ts"
import { plainName } from "../checkpoints/names.ts"
import type { Json } from "../json.ts"
import type { Linear, Norm } from "../recorder.ts"
import { anglesBy } from "./shared/angles.ts"
import { endFields, fieldsOf } from "./shared/fields.ts"
import { llamaNames } from "./shared/llama_names.ts"

interface LlamaConfig extends DecoderConfig {
  readonly ropeBase: number
  readonly normEps: number
  /** The output shares the embedding. */
  readonly tied: boolean
  /** One feed-forward network in all layers. */
  readonly sharedFfn: boolean
}

type Layer = Readonly<{
  attnNorm: Norm // (D)
  qkv: Linear // ((H + 2G)·E, D)
  out: Linear // (D, H·E)
  ffnNorm: Norm // (D)
  gateUp: Linear // (2F, D)
  down: Linear // (D, F)
}>

interface Weights {
  readonly embedding: Linear // (V, D)
  readonly layers: readonly Layer[]
  readonly norm: Norm // (D)
  readonly output: Linear // (V, D)
  readonly angles: Tensor // (positions, E)
}

const modelType = "llama"

export const llama: Architecture<LlamaConfig, Weights> = {
  modelType,
  published: {
    "TinyLlama-1.1B": { ...sizes(2048, 5632), num_key_value_heads: 4 },
    "MobiLlama-0.5B": { ...sizes(2048, 5632), shared_mlp: true },
    "MobiLlama-0.8B": {
      ...{ ...sizes(2560, 10240), max_position_embeddings: 2560, shared_mlp: true },
    },
    "MobiLlama-1.26B": sizes(2048, 5632),
  },
  parse: llamaConfig,
  toJson,
  corrected,
  weights: weightsOf,
  strays: (config) => ({ copies: copiesOf(config) }),

  tables: (config) => anglesBy(config, () => ropeFrequencies(config.headDim, config.ropeBase)),

  embed: (c, w, tokens, r) => ({ x: r.embed(tokens, w.embedding, c.paddingIndex) }),

  block(c, w, i, x0, r) {
    const { attnNorm, qkv: wQkv, out, ffnNorm, gateUp, down } = w.layers[i] as Layer
    const { x: x1, y: qkv } = r.normLinear(x0, attnNorm, wQkv) // (B·T, D), (B·T, (H + 2G)·E)
    const o = r.attend(qkv, {
      layer: i,
      queryHeads: c.queryHeads[i] as number,
      keyHeads: c.keyHeads[i] as number,
      headDim: c.headDim,
      scale: c.headDim ** -0.5,
      angles: w.angles,
    }) // (B·T, H·E)
    const x2 = r.addLinear(x1, o, out) // (B·T, D)
    const { x: x3, y: g } = r.normLinear(x2, ffnNorm, gateUp, "swiglu") // (B·T, D), (B·T, F)
    return r.addLinear(x3, g, down) // (B·T, D)
  },

  head: (_, w, x) => ({ x, norm: w.norm, linear: w.output }), // (rows, V)

  assemble(c, parts) {
    const norm = (name: string): Norm => ({
      kind: "rms",
      eps: c.normEps,
      weight: parts.vector(`${name}.weight`),
    })
    const layers = c.queryHeads.map((_, i): Layer => {
      const linear = (name: string) => parts.linear(`${name}.weight`)
      const ffn = ffnName(c, i)
      return {
        attnNorm: norm(`layers.${i}.input_layernorm`),
        qkv: linear(`layers.${i}.self_attn.qkv_proj`),
        out: linear(`layers.${i}.self_attn.o_proj`),
        ffnNorm: norm(`layers.${i}.post_attention_layernorm`),
        gateUp: linear(`${ffn}.gate_up_proj`),
        down: linear(`${ffn}.down_proj`),
      }
    })
    const embedding = parts.linear("embed_tokens.weight")
    const output = c.tied ? embedding : parts.linear("lm_head.weight")
    return { embedding, layers, norm: norm("norm"), output, angles: parts.table("angles") }
  },
}

function sizes(hidden_size: number, intermediate_size: number) {
  return {
    ...{ hidden_size, intermediate_size, num_hidden_layers: 22, num_attention_heads: 32 },
    ...{ vocab_size: 32000, max_position_embeddings: 2048, rms_norm_eps: 1e-5 },
  }
}

// ---- Weights ------------------------------------------------------------------------------------

const ffnName = ({ sharedFfn }: LlamaConfig, i: number): string =>
  sharedFfn ? "mlp" : `layers.${i}.mlp`

function weightsOf(config: LlamaConfig): WeightSpec[] {
  const { modelDim: D, headDim: E, vocabSize: V, layers: L, sharedFfn, tied } = config
  const found: WeightSpec[] = []
  const add = (
    name: string,
    kind: WeightKind,
    shape: readonly number[],
    from: readonly Rows[],
    std = (shape[1] ?? 1) ** -0.5,
  ) => found.push({ name: `${name}.weight`, shape, kind, std, from })
  const residual = (D * 2 * L) ** -0.5
  const names = llamaNames
  add("embed_tokens", "embedding", [V, D], [{ name: names.embedding }])
  config.queryHeads.forEach((H, i) => {
    const [G, F] = [config.keyHeads[i] as number, config.ffnDims[i] as number]
    const at = `layers.${i}`
    add(`${at}.self_attn.qkv_proj`, "matrix", [(H + 2 * G) * E, D], names.qkv(i, H * E, G * E))
    add(`${at}.self_attn.o_proj`, "matrix", [D, H * E], [{ name: names.out(i) }], residual)
    if (i === 0 || !sharedFfn) {
      const ffn = ffnName(config, i)
      add(`${ffn}.gate_up_proj`, "gated", [2 * F, D], names.gateUp(i, F))
      add(`${ffn}.down_proj`, "matrix", [D, F], [{ name: names.down(i) }], residual)
    }
    add(`${at}.input_layernorm`, "vector", [D], [{ name: names.attnNorm(i) }])
    add(`${at}.post_attention_layernorm`, "vector", [D], [{ name: names.ffnNorm(i) }])
  })
  add("norm", "vector", [D], [{ name: names.norm }])
  if (!tied) add("lm_head", "matrix", [V, D], [{ name: names.output }])
  return found
}

/** The matrices of a layer's feed-forward network, by plain names. */
const ffnNames = (i: number): string[] =>
  [...llamaNames.gateUp(i, 1).map(({ name }) => name), llamaNames.down(i)].map(plainName)

/** What files may have several times: the output of tied models, a network that all layers share. */
function copiesOf({ tied, sharedFfn, layers }: LlamaConfig): Map<string, string> {
  const found = new Map<string, string>()
  if (tied) found.set(plainName(llamaNames.output), plainName(llamaNames.embedding))
  for (let i = 1; sharedFfn && i < layers; i++) {
    const originals = ffnNames(0)
    ffnNames(i).forEach((name, part) => {
      found.set(name, originals[part] as string)
    })
  }
  return found
}

type Tensors = ReadonlyMap<string, StoredTensor>

/** MobiLlama's config.json says nothing of shared networks, and its `num_key_value_heads` is ignored by
 *  its own code: both are as the tensors have them. */
async function corrected(config: LlamaConfig, tensors: Tensors): Promise<LlamaConfig> {
  const keys = tensors.get(plainName("model.layers.0.self_attn.k_proj.weight"))
  if (!keys) return config
  const G = (keys.shape[0] ?? 0) / config.headDim
  const fits = Number.isInteger(G) && G > 0 && (config.queryHeads[0] as number) % G === 0
  const keyHeads = fits ? Array<number>(config.layers).fill(G) : config.keyHeads
  return { ...config, keyHeads, sharedFfn: await isShared(config, tensors) }
}

/** Whether all layers have one feed-forward network: stored under one layer or more, where the first
 *  rows of each matrix tell (that all others are copies is checked as they are loaded). */
async function isShared({ layers }: LlamaConfig, tensors: Tensors): Promise<boolean> {
  const networks = Array.from({ length: layers }, (_, i) =>
    ffnNames(i).flatMap((name) => tensors.get(name) ?? []),
  ).filter((matrices) => matrices.length > 0)
  if (layers === 1 || networks.length === 0) return false
  const [first = [], ...others] = await inTurn(networks, (matrices) => inTurn(matrices, firstRow))
  return others.every((rows) => rows.join("\n") === first.join("\n"))
}

/** The bytes of a tensor's first row. */
async function firstRow({ shape, bytes, read, asF32 }: StoredTensor): Promise<string> {
  const [rows = 1, ...row] = shape
  const target = new Uint8Array(asF32 ? row.reduce((a, b) => a * b, 4) : bytes / rows)
  await (asF32 ?? read)(0, 1, target)
  return target.join()
}

async function inTurn<T, R>(list: readonly T[], act: (each: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (const each of list) results.push(await act(each))
  return results
}

// ---- config.json --------------------------------------------------------------------------------

/** Fields that must have these values where they are there. */
const fixed = {
  hidden_act: "silu",
  attention_bias: false,
  mlp_bias: false,
  rope_scaling: null,
} as const

function llamaConfig(json: Json, source: string): LlamaConfig {
  const read = fieldsOf(json, source)
  read.fixed(fixed)
  const [D, L] = [read.whole("hidden_size", 65536), read.whole("num_hidden_layers", 1024)]
  const H = read.whole("num_attention_heads", 1024)
  const G = read.whole("num_key_value_heads", 1024, H)
  const F = read.whole("intermediate_size", 2 ** 20)
  const V = read.whole("vocab_size", 2 ** 24)
  const E = (json.head_dim ?? null) === null ? D / H : read.whole("head_dim", 1024)
  if (E % 2 !== 0 || H % G !== 0) {
    throw read.misfit(`width ${D}, ${H} heads of ${E}, ${G} of keys`)
  }
  const every = (value: number): number[] => Array(L).fill(value)
  return {
    ...{ modelType, name: read.name("Llama"), layers: L, modelDim: D, headDim: E },
    ...{ queryHeads: every(H), keyHeads: every(G), ffnDims: every(F) },
    ...{ vocabSize: V, maxContext: read.whole("max_position_embeddings", 2 ** 24, 2048) },
    ropeBase: read.real("rope_theta", 1, 1e12, 10000),
    normEps: read.real("rms_norm_eps", 0, 1, 1e-6),
    ...read.ends(V, { bosId: 1, eosId: 2 }),
    tied: read.flag("tie_word_embeddings", false),
    sharedFfn: read.flag("shared_mlp", false),
  }
}

function toJson(config: LlamaConfig): Record<string, unknown> {
  const { sharedFfn } = config
  return {
    architectures: [sharedFfn ? "MobiLlamaForCausalLM" : "LlamaForCausalLM"],
    model_type: modelType,
    model_name: config.name,
    ...fixed,
    hidden_size: config.modelDim,
    num_hidden_layers: config.layers,
    num_attention_heads: config.queryHeads[0],
    num_key_value_heads: config.keyHeads[0],
    head_dim: config.headDim,
    intermediate_size: config.ffnDims[0],
    vocab_size: config.vocabSize,
    max_position_embeddings: config.maxContext,
    rope_theta: config.ropeBase,
    rms_norm_eps: config.normEps,
    tie_word_embeddings: config.tied,
    // A field of this engine's: files of weights say it too.
    ...(sharedFfn ? { shared_mlp: true } : {}),
    ...endFields(config),
  }
}
