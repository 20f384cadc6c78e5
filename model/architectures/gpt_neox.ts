// GPT-NeoX, and so Pythia: LayerNorm before each half of a block, both of which may read the same stream,
// rotary positions on a part of each head, GELU, biases, an output of its own.  Black et al. 2022, arXiv
// 2204.06745; Biderman et al. 2023, arXiv 2304.01373
import type { Tensor } from "../../engine/index.ts"
import { ropeFrequencies } from "../../ops/index.ts"
import type { Architecture, DecoderConfig, Rows, WeightSpec } from "../architecture.ts"
import { plainName } from "../checkpoints/names.ts"
import type { Json } from "../json.ts"
import type { Linear, Norm } from "../recorder.ts"
import { anglesBy } from "./shared/angles.ts"
import { biasedParts, weightList } from "./shared/biased.ts"
import { endFields, fieldsOf } from "./shared/fields.ts"

interface NeoxConfig extends DecoderConfig {
  /** The share of a head that is rotated, and how many numbers that is, the first ones. */
  readonly rotaryPct: number
  readonly rotated: number
  readonly ropeBase: number
  readonly normEps: number
  /** Both halves of a block read the same stream. */
  readonly isParallel: boolean
  /** The output shares the embedding. */
  readonly tied: boolean
}

type Layer = Readonly<{
  attnNorm: Norm // (D)
  qkv: Linear // (3D, D)
  dense: Linear // (D, D)
  ffnNorm: Norm // (D)
  up: Linear // (F, D)
  down: Linear // (D, F)
}>

interface Weights {
  readonly embedding: Linear // (V, D)
  readonly layers: readonly Layer[]
  readonly norm: Norm // (D)
  readonly output: Linear // (V, D)
  readonly angles: Tensor // (positions, E)
}

const modelType = "gpt_neox"

export const gptNeox: Architecture<NeoxConfig, Weights> = {
  modelType,
  published: {
    "Pythia-410M": pythia(1024, 24, 16),
    "Pythia-1.0B": pythia(2048, 16, 8),
    "Pythia-1.4B": pythia(2048, 24, 16),
  },
  parse: neoxConfig,
  toJson,
  weights: weightsOf,
  strays: ({ tied }) => ({
    copies: new Map(tied ? [[output, plainName(embedding)]] : []),
    // Masks of older files.
    ignored: /\.attention\.(masked_)?bias$/,
  }),

  // Pairs beyond the rotated ones turn by an angle of 0.
  tables: (config) =>
    anglesBy(config, () => {
      const frequencies = new Float32Array(config.headDim / 2)
      frequencies.set(ropeFrequencies(config.rotated, config.ropeBase))
      return frequencies
    }),

  embed: (c, w, tokens, r) => ({ x: r.embed(tokens, w.embedding, c.paddingIndex) }),

  block(c, w, i, x0, r) {
    const { attnNorm, qkv: wQkv, dense, ffnNorm, up, down } = w.layers[i] as Layer
    const { x: x1, y: qkv } = r.normLinear(x0, attnNorm, wQkv) // (B·T, D), (B·T, 3·H·E)
    const H = c.queryHeads[i] as number
    const o = r.attend(qkv, {
      layer: i,
      queryHeads: H,
      keyHeads: H,
      headDim: c.headDim,
      scale: c.headDim ** -0.5,
      angles: w.angles,
    }) // (B·T, H·E)
    if (c.isParallel) {
      const { x: same, y: h } = r.normLinear(x1, ffnNorm, up, "gelu") // (B·T, D), (B·T, F)
      return r.addLinear(r.addLinear(same, o, dense), h, down) // (B·T, D)
    }
    const x2 = r.addLinear(x1, o, dense) // (B·T, D)
    const { x: x3, y: h } = r.normLinear(x2, ffnNorm, up, "gelu") // (B·T, D), (B·T, F)
    return r.addLinear(x3, h, down) // (B·T, D)
  },

  head: (_, w, x) => ({ x, norm: w.norm, linear: w.output }), // (rows, V)

  assemble(c, parts) {
    const { norm, linear } = biasedParts(parts, c.normEps)
    const layers = c.queryHeads.map((_, i): Layer => {
      const at = `gpt_neox.layers.${i}`
      return {
        attnNorm: norm(`${at}.input_layernorm`),
        qkv: linear(`${at}.attention.query_key_value`),
        dense: linear(`${at}.attention.dense`),
        ffnNorm: norm(`${at}.post_attention_layernorm`),
        up: linear(`${at}.mlp.dense_h_to_4h`),
        down: linear(`${at}.mlp.dense_4h_to_h`),
      }
    })
    const table = parts.linear(embedding)
    return {
      embedding: table,
      layers,
      norm: norm("gpt_neox.final_layer_norm"),
      output: c.tied ? table : parts.linear(output),
      angles: parts.table("angles"),
    }
  },
}

function pythia(hidden_size: number, num_hidden_layers: number, num_attention_heads: number) {
  const intermediate_size = 4 * hidden_size
  return {
    ...{ hidden_size, num_hidden_layers, num_attention_heads, intermediate_size },
    ...{ vocab_size: 50304, max_position_embeddings: 2048, rotary_pct: 0.25 },
  }
}

// ---- Weights ------------------------------------------------------------------------------------

const embedding = "gpt_neox.embed_in.weight"
const output = "embed_out.weight"

function weightsOf(config: NeoxConfig): WeightSpec[] {
  const { modelDim: D, vocabSize: V, layers: L, tied } = config
  const { found, add, norm, linear } = weightList(D)
  const residual = { std: (D * 2 * L) ** -0.5 }
  add(embedding, "embedding", [V, D])
  config.ffnDims.forEach((F, i) => {
    const at = `gpt_neox.layers.${i}`
    norm(`${at}.input_layernorm`)
    norm(`${at}.post_attention_layernorm`)
    const qkv = `${at}.attention.query_key_value`
    add(`${qkv}.weight`, "matrix", [3 * D, D], { from: rowsOfHeads(config, i, `${qkv}.weight`) })
    add(`${qkv}.bias`, "bias", [3 * D], { from: rowsOfHeads(config, i, `${qkv}.bias`) })
    linear(`${at}.attention.dense`, D, D, residual)
    linear(`${at}.mlp.dense_h_to_4h`, F, D)
    linear(`${at}.mlp.dense_4h_to_h`, D, F, residual)
  })
  norm("gpt_neox.final_layer_norm")
  if (!tied) add(output, "matrix", [V, D])
  return found
}

/**
 * Files have queries, keys and values of one head after another's; this engine all queries, then all keys,
 * then all values. And where n of E numbers are rotated, pairs are j and j + n/2, the rest is as it is:
 * laid out here as pairs j and j + E/2, of queries and keys alike, so that their products are the same.
 */
function rowsOfHeads(
  { queryHeads, headDim: E, rotated: n }: NeoxConfig,
  i: number,
  name: string,
): Rows[] {
  const rest = (E - n) / 2
  const turned = [
    { start: 0, count: n / 2 },
    { start: n, count: rest },
    { start: n / 2, count: n / 2 },
    { start: n + rest, count: rest },
  ].filter(({ count }) => count > 0)
  const heads = Array.from({ length: queryHeads[i] as number }, (_, h) => 3 * h * E)
  const rows = (part: number, of: readonly { start: number; count: number }[]): Rows[] =>
    heads.flatMap((first) =>
      of.map(({ start, count }) => ({ name, start: first + part * E + start, count })),
    )
  return [...rows(0, turned), ...rows(1, turned), ...rows(2, [{ start: 0, count: E }])]
}

// ---- config.json --------------------------------------------------------------------------------

/** Fields that must have these values where they are there. */
const fixed = { hidden_act: "gelu", attention_bias: true, rope_scaling: null } as const

function neoxConfig(json: Json, source: string): NeoxConfig {
  const read = fieldsOf(json, source)
  read.fixed(fixed)
  const [D, L] = [read.whole("hidden_size", 65536), read.whole("num_hidden_layers", 1024)]
  const H = read.whole("num_attention_heads", 1024)
  const F = read.whole("intermediate_size", 2 ** 20)
  const V = read.whole("vocab_size", 2 ** 24)
  const E = D / H
  const rotaryPct = read.real("rotary_pct", 0, 1, 0.25)
  const rotated = Math.floor(E * rotaryPct)
  if (E % 2 !== 0 || rotated % 2 !== 0) {
    throw read.misfit(`width ${D}, ${H} heads of ${E}, of which ${rotated} are rotated,`)
  }
  const every = (value: number): number[] => Array(L).fill(value)
  return {
    ...{ modelType, name: read.name("GPT-NeoX"), layers: L, modelDim: D, headDim: E },
    ...{ queryHeads: every(H), keyHeads: every(H), ffnDims: every(F), rotaryPct, rotated },
    ...{ vocabSize: V, maxContext: read.whole("max_position_embeddings", 2 ** 24, 2048) },
    ropeBase: read.real("rotary_emb_base", 1, 1e12, 10000),
    normEps: read.real("layer_norm_eps", 0, 1, 1e-5),
    ...read.ends(V, { bosId: 0, eosId: 0 }),
    isParallel: read.flag("use_parallel_residual", true),
    tied: read.flag("tie_word_embeddings", false),
  }
}

function toJson(config: NeoxConfig): Record<string, unknown> {
  return {
    architectures: ["GPTNeoXForCausalLM"],
    model_type: modelType,
    model_name: config.name,
    ...fixed,
    hidden_size: config.modelDim,
    num_hidden_layers: config.layers,
    num_attention_heads: config.queryHeads[0],
    intermediate_size: config.ffnDims[0],
    vocab_size: config.vocabSize,
    max_position_embeddings: config.maxContext,
    rotary_pct: config.rotaryPct,
    rotary_emb_base: config.ropeBase,
    layer_norm_eps: config.normEps,
    use_parallel_residual: config.isParallel,
    tie_word_embeddings: config.tied,
    ...endFields(config),
  }
}
