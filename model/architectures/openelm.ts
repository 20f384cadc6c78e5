// OpenELM: RMSNorm before each half of a block and on every head of queries and keys, grouped query
// attention with rotary positions, SwiGLU, one embedding for input and output, and layer-wise scaled
// widths.  Mehta et al. 2024, arXiv 2404.14619, section 2
import type { Tensor } from "../../engine/index.ts"
import { ropeFrequencies } from "../../ops/index.ts"
import type { Architecture, Parts, WeightKind, WeightSpec } from "../architecture.ts"
import type { Linear, Norm } from "../recorder.ts"
import { configJson, type ModelConfig, parseConfig } from "./openelm/config.ts"
import { inferredConfig } from "./openelm/inferred.ts"
import { anglesBy } from "./shared/angles.ts"

/** One block's weights; those of `proj1` have gate and value rows in turns. */
type Layer = Readonly<{
  attnNorm: Norm // (D)
  qkv: Linear // ((H + 2G)·E, D)
  qNorm: Norm // (E)
  kNorm: Norm // (E)
  out: Linear // (D, H·E)
  ffnNorm: Norm // (D)
  proj1: Linear // (2F, D)
  proj2: Linear // (D, F)
}>

interface Weights {
  readonly embedding: Linear // (V, D), input and output
  readonly layers: readonly Layer[]
  readonly norm: Norm // (D)
  readonly angles: Tensor // (positions, E)
}

const refused = new Map([
  [
    "lm_head.weight",
    "but OpenELM's output shares token_embeddings.weight. Save the model again without lm_head.weight",
  ],
])

export const openelm: Architecture<ModelConfig, Weights> = {
  modelType: "openelm",
  prefix: "transformer.",
  parse: parseConfig,
  toJson: configJson,
  weights: weightsOf,
  strays: () => ({ refused }),
  inferred: inferredConfig,

  tables: (config) => anglesBy(config, () => ropeFrequencies(config.headDim, config.ropeBase)),

  embed: (c, w, tokens, r) => ({ x: r.embed(tokens, w.embedding, c.paddingIndex) }),

  block(c, w, i, x0, r) {
    const { attnNorm, qkv: wQkv, qNorm, kNorm, out, ffnNorm, proj1, proj2 } = w.layers[i] as Layer
    const { x: x1, y: qkv } = r.normLinear(x0, attnNorm, wQkv) // (B·T, D), (B·T, (H + 2G)·E)
    const o = r.attend(qkv, {
      layer: i,
      queryHeads: c.queryHeads[i] as number,
      keyHeads: c.keyHeads[i] as number,
      headDim: c.headDim,
      scale: c.headDim ** -0.5,
      headNorms: { q: qNorm, k: kNorm },
      angles: w.angles,
    }) // (B·T, H·E)
    const x2 = r.addLinear(x1, o, out) // (B·T, D)
    const { x: x3, y: g } = r.normLinear(x2, ffnNorm, proj1, "swiglu") // (B·T, D), (B·T, F)
    return r.addLinear(x3, g, proj2) // (B·T, D)
  },

  head: (_, w, x) => ({ x, norm: w.norm, linear: w.embedding }), // (rows, V)

  assemble(c, parts) {
    const norm = (name: string) => normOf(parts, `${name}.weight`, c.normEps)
    const layers = c.queryHeads.map((_, i): Layer => {
      const at = `layers.${i}`
      const linear = (name: string) => parts.linear(`${at}.${name}.weight`)
      return {
        attnNorm: norm(`${at}.attn_norm`),
        qkv: linear("attn.qkv_proj"),
        qNorm: norm(`${at}.attn.q_norm`),
        kNorm: norm(`${at}.attn.k_norm`),
        out: linear("attn.out_proj"),
        ffnNorm: norm(`${at}.ffn_norm`),
        proj1: linear("ffn.proj_1"),
        proj2: linear("ffn.proj_2"),
      }
    })
    const embedding = parts.linear("token_embeddings.weight")
    return { embedding, layers, norm: norm("norm"), angles: parts.table("angles") }
  },
}

const normOf = (parts: Parts, name: string, eps: number): Norm => ({
  kind: "rms",
  eps,
  weight: parts.vector(name),
})

/** Name, shape and kind of every weight, in the order of the original state dict. Matrices begin with
 *  deviation 1/√in, the two projections that write to the residual stream with 1/√(D·2L). */
function weightsOf(config: ModelConfig): WeightSpec[] {
  const { modelDim: D, headDim: E, vocabSize: V, layers: L } = config
  const found: WeightSpec[] = []
  const add = (name: string, kind: WeightKind, shape: number[], std = (shape[1] ?? 1) ** -0.5) =>
    found.push({ name: `${name}.weight`, shape, kind, std })
  const residual = (D * 2 * L) ** -0.5
  add("token_embeddings", "embedding", [V, D])
  config.queryHeads.forEach((H, layer) => {
    const G = config.keyHeads[layer] as number
    const F = config.ffnDims[layer] as number
    const at = `layers.${layer}`
    add(`${at}.attn.qkv_proj`, "matrix", [(H + 2 * G) * E, D])
    add(`${at}.attn.q_norm`, "vector", [E])
    add(`${at}.attn.k_norm`, "vector", [E])
    add(`${at}.attn.out_proj`, "matrix", [D, H * E], residual)
    add(`${at}.ffn.proj_1`, "gated", [2 * F, D])
    add(`${at}.ffn.proj_2`, "matrix", [D, F], residual)
    add(`${at}.ffn_norm`, "vector", [D])
    add(`${at}.attn_norm`, "vector", [D])
  })
  add("norm", "vector", [D])
  return found
}
