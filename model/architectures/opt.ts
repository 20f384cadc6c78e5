// OPT: LayerNorm before each half of a block, or after it (350M, whose embedding is narrower than its
// stream, with products into it and out of it), learned positions, ReLU, biases, one embedding for input
// and output.  Zhang et al. 2022, arXiv 2205.01068
import { add } from "../../ops/index.ts"
import type { Architecture, DecoderConfig, Rows, WeightSpec } from "../architecture.ts"
import { plainName } from "../checkpoints/names.ts"
import type { Json } from "../json.ts"
import type { Linear, Norm } from "../recorder.ts"
import { biasedParts, weightList } from "./shared/biased.ts"
import { endFields, fieldsOf } from "./shared/fields.ts"

interface OptConfig extends DecoderConfig {
  /** Width of the embedding. */
  readonly embeddingDim: number
  /** Norms come before the halves of a block, rather than after what they added. */
  readonly normsBefore: boolean
  /** A last norm; there is one only where norms come before. */
  readonly finalNorm: boolean
  /** The output shares the embedding. */
  readonly tied: boolean
}

type Layer = Readonly<{
  qkv: Linear // (3D, D)
  out: Linear // (D, D)
  attnNorm: Norm // (D)
  fc1: Linear // (F, D)
  fc2: Linear // (D, F)
  ffnNorm: Norm // (D)
}>

interface Weights {
  readonly embedding: Linear // (V, W)
  readonly positions: Linear // (2 + positions, D)
  readonly into?: Linear // (D, W)
  readonly outOf?: Linear // (W, D)
  readonly layers: readonly Layer[]
  readonly norm?: Norm // (D)
  readonly output: Linear // (V, W)
}

const modelType = "opt"

/** Rows of the table of positions before that of position 0. */
const offset = 2

export const opt: Architecture<OptConfig, Weights> = {
  modelType,
  published: {
    "OPT-350M": {
      ...{ hidden_size: 1024, num_hidden_layers: 24, num_attention_heads: 16, ffn_dim: 4096 },
      ...{ vocab_size: 50272, word_embed_proj_dim: 512, do_layer_norm_before: false },
    },
    "OPT-1.3B": {
      ...{ hidden_size: 2048, num_hidden_layers: 24, num_attention_heads: 32, ffn_dim: 8192 },
      ...{ vocab_size: 50272 },
    },
  },
  parse: optConfig,
  toJson,
  weights: weightsOf,
  strays: ({ tied }) => ({
    copies: new Map(tied ? [[output, plainName(`${at}.embed_tokens.weight`)]] : []),
  }),

  tables: () => ({}),

  embed(c, w, tokens, r) {
    const rows = r.embed(tokens, w.embedding, c.paddingIndex) // (B·T, W)
    const x = w.into ? r.normLinear({ x: rows }, undefined, w.into).y : rows // (B·T, D)
    return { x: add(x, r.embed(r.positions(offset), w.positions)) } // (B·T, D)
  },

  block(c, w, i, x0, r) {
    const { qkv: wQkv, out, attnNorm, fc1, fc2, ffnNorm } = w.layers[i] as Layer
    const before = (norm: Norm) => (c.normsBefore ? norm : undefined)
    const { x: x1, y: qkv } = r.normLinear(x0, before(attnNorm), wQkv) // (B·T, D), (B·T, 3·H·E)
    const H = c.queryHeads[i] as number
    const o = r.attend(qkv, {
      layer: i,
      queryHeads: H,
      keyHeads: H,
      headDim: c.headDim,
      scale: c.headDim ** -0.5,
    }) // (B·T, H·E)
    const added = r.addLinear(x1, o, out) // (B·T, D)
    const x2 = c.normsBefore ? added : r.normalize(added, attnNorm)
    const { x: x3, y: h } = r.normLinear(x2, before(ffnNorm), fc1, "relu") // (B·T, D), (B·T, F)
    const x4 = r.addLinear(x3, h, fc2) // (B·T, D)
    return c.normsBefore ? x4 : r.normalize(x4, ffnNorm)
  },

  head(_, w, x, r) {
    if (!w.outOf) return { x, norm: w.norm, linear: w.output } // (rows, V)
    const { y } = r.normLinear(x, w.norm, w.outOf) // (rows, W)
    return { x: { x: y }, norm: undefined, linear: w.output } // (rows, V)
  },

  assemble(c, parts) {
    const { norm, linear } = biasedParts(parts, 1e-5)
    const layers = c.queryHeads.map(
      (_, i): Layer => ({
        qkv: linear(`${at}.layers.${i}.self_attn.qkv_proj`),
        out: linear(`${at}.layers.${i}.self_attn.out_proj`),
        attnNorm: norm(`${at}.layers.${i}.self_attn_layer_norm`),
        fc1: linear(`${at}.layers.${i}.fc1`),
        fc2: linear(`${at}.layers.${i}.fc2`),
        ffnNorm: norm(`${at}.layers.${i}.final_layer_norm`),
      }),
    )
    const embedding = parts.linear(`${at}.embed_tokens.weight`)
    return {
      embedding,
      positions: parts.linear(`${at}.embed_positions.weight`),
      ...(isProjected(c) && {
        into: parts.linear(`${at}.project_in.weight`),
        outOf: parts.linear(`${at}.project_out.weight`),
      }),
      layers,
      ...(c.finalNorm && { norm: norm(`${at}.final_layer_norm`) }),
      output: c.tied ? embedding : parts.linear(output),
    }
  },
}

const isProjected = ({ embeddingDim, modelDim }: OptConfig): boolean => embeddingDim !== modelDim

// ---- Weights ------------------------------------------------------------------------------------

const at = "model.decoder"
const output = "lm_head.weight"

function weightsOf(config: OptConfig): WeightSpec[] {
  const { modelDim: D, embeddingDim: W, vocabSize: V, layers: L, maxContext, tied } = config
  const { found, add: weigh, norm, linear } = weightList(D)
  const residual = { std: (D * 2 * L) ** -0.5 }
  weigh(`${at}.embed_tokens.weight`, "embedding", [V, W])
  weigh(`${at}.embed_positions.weight`, "embedding", [offset + maxContext, D])
  if (isProjected(config)) {
    weigh(`${at}.project_out.weight`, "matrix", [W, D])
    weigh(`${at}.project_in.weight`, "matrix", [D, W])
  }
  if (config.finalNorm) norm(`${at}.final_layer_norm`)
  config.ffnDims.forEach((F, i) => {
    const layer = `${at}.layers.${i}`
    const qkv = (part: string): Rows[] =>
      ["q", "k", "v"].map((each) => ({ name: `${layer}.self_attn.${each}_proj.${part}`, count: D }))
    weigh(`${layer}.self_attn.qkv_proj.weight`, "matrix", [3 * D, D], { from: qkv("weight") })
    weigh(`${layer}.self_attn.qkv_proj.bias`, "bias", [3 * D], { from: qkv("bias") })
    linear(`${layer}.self_attn.out_proj`, D, D, residual)
    norm(`${layer}.self_attn_layer_norm`)
    linear(`${layer}.fc1`, F, D)
    linear(`${layer}.fc2`, D, F, residual)
    norm(`${layer}.final_layer_norm`)
  })
  if (!tied) weigh(output, "matrix", [V, W])
  return found
}

// ---- config.json --------------------------------------------------------------------------------

/** Fields that must have these values where they are there. */
const fixed = {
  activation_function: "relu",
  enable_bias: true,
  layer_norm_elementwise_affine: true,
} as const

function optConfig(json: Json, source: string): OptConfig {
  const read = fieldsOf(json, source)
  read.fixed(fixed)
  const [D, L] = [read.whole("hidden_size", 65536), read.whole("num_hidden_layers", 1024)]
  const H = read.whole("num_attention_heads", 1024)
  const F = read.whole("ffn_dim", 2 ** 20)
  const V = read.whole("vocab_size", 2 ** 24)
  if (D % (2 * H) !== 0) throw read.misfit(`width ${D}, ${H} heads`)
  const normsBefore = read.flag("do_layer_norm_before", true)
  const every = (value: number): number[] => Array(L).fill(value)
  return {
    ...{ modelType, name: read.name("OPT"), layers: L, modelDim: D, headDim: D / H },
    ...{ queryHeads: every(H), keyHeads: every(H), ffnDims: every(F), vocabSize: V },
    embeddingDim: read.whole("word_embed_proj_dim", 65536, D),
    maxContext: read.whole("max_position_embeddings", 2 ** 24, 2048),
    ...read.ends(V, { bosId: 2, eosId: 2 }),
    normsBefore,
    finalNorm: normsBefore && !read.flag("_remove_final_layer_norm", false),
    tied: read.flag("tie_word_embeddings", true),
  }
}

function toJson(config: OptConfig): Record<string, unknown> {
  return {
    architectures: ["OPTForCausalLM"],
    model_type: modelType,
    model_name: config.name,
    ...fixed,
    hidden_size: config.modelDim,
    word_embed_proj_dim: config.embeddingDim,
    num_hidden_layers: config.layers,
    num_attention_heads: config.queryHeads[0],
    ffn_dim: config.ffnDims[0],
    vocab_size: config.vocabSize,
    max_position_embeddings: config.maxContext,
    do_layer_norm_before: config.normsBefore,
    _remove_final_layer_norm: !config.finalNorm,
    tie_word_embeddings: config.tied,
    ...endFields(config),
  }
}
