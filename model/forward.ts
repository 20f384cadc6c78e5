// OpenELM's forward pass, as the paper has it: six calls a block, six steps. Training and inference
// record the same blocks; how their norms run is norms.ts, what the sizes are config.ts, where the
// weights come from weights.ts.
import type { Tensor } from "../engine/index.ts"
import {
  attention,
  cast,
  isSliceable,
  mergeParts,
  reshape,
  ropeAttentionParts,
  slice,
  slicesOf,
} from "../ops/index.ts"
import type { ModelConfig } from "./config.ts"
import type { Heads, Norms, Stream } from "./norms.ts"
import { embedding } from "./products.ts"

export interface LayerWeights {
  readonly attnNorm: Tensor // (D)
  readonly qkv: Tensor // panels of ((H + 2G)·E, D)
  readonly qNorm: Tensor // (E)
  readonly kNorm: Tensor // (E)
  readonly out: Tensor // panels of (D, H·E)
  readonly ffnNorm: Tensor // (D)
  readonly proj1: Tensor // panels of (2F, D), gate and value alternating
  readonly proj2: Tensor // panels of (D, F)
}

export interface Weights {
  readonly embedding: Tensor // panels of (V, D), input and output
  readonly layers: readonly LayerWeights[]
  readonly norm: Tensor // (D)
  readonly angles: Tensor // (positions, E)
}

export interface LayerCache {
  readonly keys: Tensor // (B, G, S, E)
  readonly values: Tensor // (B, G, S, E)
}

export interface Inputs {
  readonly tokens: Tensor // i32 (B·T)
  readonly position: Tensor // i32 (B), of each sequence's first token in this call
  readonly caches: readonly LayerCache[]
}

/** Called with every intermediate by name, for those who want to look. */
export type Trace = (name: string, value: Tensor) => void

/** What is between the two products of layer i: head norms, RoPE, attention.
 *  qkv (B·T, (H + 2G)·E) → (B·T, H·E) */
export type Attend = (qkv: Tensor, layer: LayerWeights, i: number) => Tensor

/** What a pass through the blocks is made of. */
export interface Pass {
  readonly config: ModelConfig
  readonly norms: Omit<Norms, "heads">
  readonly attend: Attend
  readonly trace?: Trace | undefined
}

export interface Hidden {
  readonly stream: Stream
  /** The caches with this call's keys and values in them. */
  readonly caches: readonly LayerCache[]
}

/** All blocks, up to but without the final norm. */
export function hidden(
  config: ModelConfig,
  weights: Weights,
  inputs: Inputs,
  norms: Norms,
  trace?: Trace,
): Hidden {
  const caches: LayerCache[] = []
  const attend: Attend = (qkv, { qNorm, kNorm }, i) => {
    const { position, caches: before } = inputs
    const cache = before[i] as LayerCache
    const angles = weights.angles
    const heads = { qkv, qNorm, kNorm, angles, ...cache, position }
    if (norms.sliced && !trace && qkv.shape[0] === position.size && isSliceable(config.headDim)) {
      const { y, ...now } = attendInSlices(heads, config)
      caches.push(now)
      return y // (B, H·E)
    }
    const { q, keys, values } = norms.heads(heads)
    caches.push({ keys, values })
    for (const [name, x] of Object.entries({ q, keys, values })) {
      trace?.(`blocks.${i}.${name}`, cast(x, "f32"))
    }
    return attention(q, keys, values, position, { scale: config.headDim ** -0.5 }) // (B·T, H·E)
  }
  let stream = embedded(config, weights, inputs.tokens) // (B·T, D)
  trace?.("embed", stream.x)
  weights.layers.forEach((layer, i) => {
    stream = block({ config, norms, attend, trace }, layer, i, stream)
  })
  return { stream, caches }
}

/** Attention of one position of each sequence, its cache cut into slices that a GPU reads at once. */
function attendInSlices(heads: Heads, { headDim, normEps }: ModelConfig) {
  const { qkv, qNorm, kNorm, angles, keys, values, position } = heads
  const attrs = { R: slicesOf(keys.shape[2] as number), eps: normEps, scale: headDim ** -0.5 }
  const now = ropeAttentionParts(qkv, qNorm, kNorm, angles, keys, values, position, attrs)
  return { y: mergeParts(now.parts), keys: now.newKeys, values: now.newValues }
}

/** The residual stream at its start.  tokens (B·T) → (B·T, D) */
export const embedded = (
  config: ModelConfig,
  { embedding: w }: Weights,
  tokens: Tensor,
): Stream => ({
  x: embedding(tokens, w, config.modelDim, config.paddingIndex),
})

/** Block i: attention, then the feed-forward network, each added to the stream. */
export function block(
  { config, norms, attend, trace }: Pass,
  w: LayerWeights,
  i: number,
  before: Stream,
): Stream {
  const E = config.headDim
  const [H, G, F] = [config.queryHeads[i], config.keyHeads[i], config.ffnDims[i]] as Sizes
  const J = (H + 2 * G) * E

  const { stream, y: qkv } = norms.project(before, w.attnNorm, w.qkv, J) // (B·T, (H + 2G)·E)
  const o = attend(qkv, w, i) // (B·T, H·E)
  const middle = norms.join(stream, o, w.out) // (B·T, D)
  const { stream: after, y: g } = norms.gate(middle, w.ffnNorm, w.proj1, F) // (B·T, F)
  const result = norms.join(after, g, w.proj2) // (B·T, D)

  if (trace) {
    const seen = { x: stream.x, qkv, attention: o, middle: after.x, gate: g }
    for (const [name, value] of Object.entries(seen)) trace(`blocks.${i}.${name}`, value)
  }
  return result
}

type Sizes = [H: number, G: number, F: number]

/** Logits of every row of the stream.  → (rows, V) */
export function head(
  config: ModelConfig,
  weights: Weights,
  before: Stream,
  norms: Norms,
  trace?: Trace,
): Tensor {
  const { norm, embedding: table } = weights
  const { stream, y } = norms.project(before, norm, table, config.vocabSize) // (rows, V)
  trace?.("hidden", stream.x)
  return y
}

/** The rows of each sequence's last token.  (B·T, D) → (B, D) */
export function lastRows({ x, d }: Stream, B: number): Stream {
  const last = (rows: Tensor): Tensor => {
    const [N, D] = rows.shape as [number, number]
    if (N === B) return rows
    return reshape(slice(reshape(rows, [B, N / B, D]), 1, N / B - 1, 1), [B, D])
  }
  return d ? { x: last(x), d: last(d) } : { x: last(x) }
}
