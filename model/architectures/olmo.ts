// OLMo: LayerNorm without parameters before each half of a block, rotary positions, SwiGLU, no biases.
// It is published in two layouts, distinguished by `d_model`: Hugging Face's OlmoForCausalLM, with a
// matrix each for queries, keys, values, gates and values of the feed-forward network, and AI2's own,
// with one for the first three and one for the last two.  Groeneveld et al. 2024, arXiv 2402.00838
import { constant, type Tensor } from "../../engine/index.ts"
import { less, ropeFrequencies, select } from "../../ops/index.ts"
import type { Architecture, DecoderConfig, Rows, WeightKind, WeightSpec } from "../architecture.ts"
import type { Json } from "../json.ts"
import type { Linear, Norm } from "../recorder.ts"
import { anglesBy } from "./shared/angles.ts"
import { endFields, fieldsOf } from "./shared/fields.ts"
import { llamaNames } from "./shared/llama_names.ts"

interface OlmoConfig extends DecoderConfig {
  /** Whose names its tensors and fields have. */
  readonly layout: "hf" | "native"
  readonly ropeBase: number
  /** The output shares the embedding. */
  readonly tied: boolean
  /** Queries, keys and values are cut off at ± this. */
  readonly clip?: number
  /** Ids that mean something: the embedding may have more rows. */
  readonly tokens: number
}

type Layer = Readonly<{
  qkv: Linear // (3D, D)
  out: Linear // (D, D)
  gateUp: Linear // (2F, D)
  down: Linear // (D, F)
}>

interface Weights {
  readonly embedding: Linear // (V, D)
  readonly layers: readonly Layer[]
  readonly output: Linear // (V, D)
  readonly angles: Tensor // (positions, E)
}

const modelType = "olmo"
const norm: Norm = { kind: "layer", eps: 1e-5 }

export const olmo: Architecture<OlmoConfig, Weights> = {
  modelType,
  published: {
    "OLMo-1.18B": {
      ...{ hidden_size: 2048, num_hidden_layers: 16, num_attention_heads: 16 },
      ...{ intermediate_size: 8192, vocab_size: 50304, max_position_embeddings: 2048 },
      ...{ tie_word_embeddings: true, eos_token_id: 50279 },
    },
  },
  parse: olmoConfig,
  toJson,
  weights: weightsOf,
  strays: ({ layout, tied }) => (tied ? { copies: copies[layout] } : {}),

  tables: (config) => anglesBy(config, () => ropeFrequencies(config.headDim, config.ropeBase)),

  embed: (c, w, tokens, r) => ({ x: r.embed(tokens, w.embedding, c.paddingIndex) }),

  block(c, w, i, x0, r) {
    const layer = w.layers[i] as Layer
    const { x: x1, y } = r.normLinear(x0, norm, layer.qkv) // (B·T, D), (B·T, (H + 2G)·E)
    const qkv = c.clip === undefined ? y : clamp(y, c.clip)
    const o = r.attend(qkv, {
      layer: i,
      queryHeads: c.queryHeads[i] as number,
      keyHeads: c.keyHeads[i] as number,
      headDim: c.headDim,
      scale: c.headDim ** -0.5,
      angles: w.angles,
    }) // (B·T, H·E)
    const x2 = r.addLinear(x1, o, layer.out) // (B·T, D)
    const { x: x3, y: g } = r.normLinear(x2, norm, layer.gateUp, "swiglu") // (B·T, D), (B·T, F)
    return r.addLinear(x3, g, layer.down) // (B·T, D)
  },

  head: (_, w, x) => ({ x, norm, linear: w.output }), // (rows, V)

  assemble(c, parts) {
    const layers = c.queryHeads.map((_, i): Layer => {
      const linear = (name: string) => parts.linear(`layers.${i}.${name}.weight`)
      return {
        qkv: linear("self_attn.qkv_proj"),
        out: linear("self_attn.o_proj"),
        gateUp: linear("mlp.gate_up_proj"),
        down: linear("mlp.down_proj"),
      }
    })
    const embedding = parts.linear("embed_tokens.weight")
    const output = c.tied ? embedding : parts.linear("lm_head.weight")
    return { embedding, layers, output, angles: parts.table("angles") }
  },
}

/** x within ± most.  x (N, J) → (N, J) */
function clamp(x: Tensor, most: number): Tensor {
  const [low, high] = [constant([-most], [1]), constant([most], [1])]
  const cut = select(less(high, x), most, x)
  return select(less(cut, low), -most, cut)
}

/** Files of tied models may hold the output beside the embedding. */
const copies = {
  hf: new Map([["lm_head.weight", "embed_tokens.weight"]]),
  native: new Map([["ff_out.weight", "wte.weight"]]),
}

// ---- Weights ------------------------------------------------------------------------------------

function weightsOf(config: OlmoConfig): WeightSpec[] {
  const { modelDim: D, headDim: E, vocabSize: V, layers: L, layout, tied } = config
  const found: WeightSpec[] = []
  const add = (
    name: string,
    kind: WeightKind,
    [N, K]: readonly [N: number, K: number],
    from: readonly Rows[],
    std = K ** -0.5,
  ) => found.push({ name: `${name}.weight`, shape: [N, K], kind, std, from })
  const residual = (D * 2 * L) ** -0.5
  const names = layout === "hf" ? llamaNames : nativeNames
  add("embed_tokens", "embedding", [V, D], [{ name: names.embedding }])
  config.queryHeads.forEach((H, i) => {
    const [G, F] = [config.keyHeads[i] as number, config.ffnDims[i] as number]
    const at = `layers.${i}`
    add(`${at}.self_attn.qkv_proj`, "matrix", [(H + 2 * G) * E, D], names.qkv(i, H * E, G * E))
    add(`${at}.self_attn.o_proj`, "matrix", [D, H * E], [{ name: names.out(i) }], residual)
    add(`${at}.mlp.gate_up_proj`, "gated", [2 * F, D], names.gateUp(i, F))
    add(`${at}.mlp.down_proj`, "matrix", [D, F], [{ name: names.down(i) }], residual)
  })
  if (!tied) add("lm_head", "matrix", [V, D], [{ name: names.output }])
  return found
}

const native = (i: number, name: string): string => `model.transformer.blocks.${i}.${name}.weight`
const nativeNames = {
  embedding: "model.transformer.wte.weight",
  output: "model.transformer.ff_out.weight",
  qkv: (i: number, q: number, kv: number): Rows[] => [
    { name: native(i, "att_proj"), count: q + 2 * kv },
  ],
  out: (i: number): string => native(i, "attn_out"),
  // The gate is the second half.
  gateUp: (i: number, F: number): Rows[] => [
    { name: native(i, "ff_proj"), start: F, count: F },
    { name: native(i, "ff_proj"), start: 0, count: F },
  ],
  down: (i: number): string => native(i, "ff_out"),
}

// ---- config.json --------------------------------------------------------------------------------

/** Names of the sizes, and fields that must have the value given where they are there. */
const layouts = {
  hf: {
    D: "hidden_size",
    L: "num_hidden_layers",
    H: "num_attention_heads",
    G: "num_key_value_heads",
    F: "intermediate_size",
    V: "vocab_size",
    context: "max_position_embeddings",
    tied: "tie_word_embeddings",
    fixed: { hidden_act: "silu", attention_bias: false },
  },
  native: {
    D: "d_model",
    L: "n_layers",
    H: "n_heads",
    G: "n_kv_heads",
    F: "mlp_hidden_size", // 2F
    V: "embedding_size",
    context: "max_sequence_length",
    tied: "weight_tying",
    fixed: {
      activation_type: "swiglu",
      block_type: "sequential",
      layer_norm_type: "default",
      layer_norm_with_affine: false,
      attention_layer_norm: false,
      include_bias: false,
      rope: true,
      alibi: false,
      scale_logits: false,
    },
  },
} as const

/** The config of a config.json of either layout. Throws TypeError or RangeError that names `source` and
 *  the field. */
export function olmoConfig(json: Json, source: string): OlmoConfig {
  const layout = "d_model" in json ? "native" : "hf"
  const names = layouts[layout]
  const read = fieldsOf(json, source)
  read.fixed(names.fixed)
  const [D, L, H] = [
    read.whole(names.D, 65536),
    read.whole(names.L, 1024),
    read.whole(names.H, 1024),
  ]
  const G = read.whole(names.G, 1024, json.multi_query_attention === true ? 1 : H)
  const gated = layout === "native" ? read.whole("mlp_ratio", 1024, 4) * D : undefined
  const F = read.whole(names.F, 2 ** 21, gated) / (layout === "native" ? 2 : 1)
  const tokens = read.whole("vocab_size", 2 ** 24)
  const V = read.whole(names.V, 2 ** 24, tokens)
  if (D % (2 * H) !== 0 || H % G !== 0 || !Number.isInteger(F)) {
    throw read.misfit(`width ${D}, ${H} heads, ${G} of keys, feed-forward ${F}`)
  }
  const every = (value: number): number[] => Array(L).fill(value)
  return {
    ...{ modelType, layout, name: read.name("OLMo"), layers: L, modelDim: D, headDim: D / H },
    ...{ queryHeads: every(H), keyHeads: every(G), ffnDims: every(F) },
    ...{ vocabSize: V, tokens, maxContext: read.whole(names.context, 2 ** 24, 2048) },
    ...{ ropeBase: read.real("rope_theta", 1, 1e12, 10000), ...read.ends(V, { eosId: 0 }) },
    ...((json.clip_qkv ?? null) === null ? {} : { clip: read.real("clip_qkv", 1e-30, 1e9) }),
    // What a file does not say is each program's own default.
    tied: read.flag(names.tied, layout === "native"),
  }
}

/** The config in the layout that it came in. */
function toJson(config: OlmoConfig): Record<string, unknown> {
  const names = layouts[config.layout]
  const isNative = config.layout === "native"
  return {
    architectures: [isNative ? "OLMoForCausalLM" : "OlmoForCausalLM"],
    model_type: modelType,
    model_name: config.name,
    ...names.fixed,
    [names.D]: config.modelDim,
    [names.L]: config.layers,
    [names.H]: config.queryHeads[0],
    [names.G]: config.keyHeads[0],
    [names.F]: (config.ffnDims[0] as number) * (isNative ? 2 : 1),
    [names.V]: config.vocabSize,
    ...(isNative ? { vocab_size: config.tokens } : {}),
    [names.context]: config.maxContext,
    [names.tied]: config.tied,
    rope_theta: config.ropeBase,
    clip_qkv: config.clip ?? null,
    ...endFields(config),
  }
}
