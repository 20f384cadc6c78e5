// OpenELM's forward pass, as the paper has it: eight calls a block, eight steps. Training and
// inference record the same graph. What the sizes are is config.ts; where the weights come from,
// weights.ts.
import type { Tensor } from "../engine/index.ts"
import {
  addRmsNorm,
  attention,
  embed,
  matmul,
  matmulSwiglu,
  qkNormRope,
  reshape,
  rmsNorm,
  slice,
} from "../ops/index.ts"
import type { ModelConfig } from "./config.ts"

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

/** The residual stream as the fused norm wants it: a sum whose last addition is still to be made. */
export interface Stream {
  readonly x: Tensor // (B·T, D)
  readonly d: Tensor | undefined // (B·T, D)
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
  trace?: Trace,
): Hidden {
  const { angles } = weights
  const { paddingIndex: Padding } = config
  const x = embed(inputs.tokens, weights.embedding, Padding === undefined ? {} : { Padding })
  let stream: Stream = { x, d: undefined } // (B·T, D)
  trace?.("embed", x)
  const caches = weights.layers.map((layer, i) => {
    const cache = inputs.caches[i] as LayerCache
    const place: Place = { i, cache, angles, position: inputs.position }
    const result = block(config, layer, place, stream, trace)
    stream = result.stream
    return result.cache
  })
  return { stream, caches }
}

interface Place {
  readonly i: number
  readonly cache: LayerCache
  readonly angles: Tensor // (positions, E)
  readonly position: Tensor // i32 (B)
}

function block(config: ModelConfig, w: LayerWeights, place: Place, stream: Stream, trace?: Trace) {
  const { i, cache, angles, position } = place
  const { modelDim: D, headDim: E, normEps: eps } = config
  const [H, G, F] = [config.queryHeads[i], config.keyHeads[i], config.ffnDims[i]] as Sizes
  const J = (H + 2 * G) * E

  const { x, y: a } = norm(stream, w.attnNorm, eps) // (B·T, D) both
  const qkv = matmul(a, w.qkv, { N: J }) // (B·T, (H + 2G)·E)
  const heads = [qkv, w.qNorm, w.kNorm, angles, cache.keys, cache.values, position] as const
  const { q, newKeys: keys, newValues: values } = qkNormRope(...heads, { eps }) // (B·T, H·E)
  const o = attention(q, keys, values, position, { scale: E ** -0.5 }) // (B·T, H·E)
  const r = matmul(o, w.out, { N: D }) // (B·T, D)
  const { sum, y: f } = addRmsNorm(x, r, w.ffnNorm, { eps }) // (B·T, D) both
  const g = matmulSwiglu(f, w.proj1, { F }) // (B·T, F)
  const d = matmul(g, w.proj2, { N: D }) // (B·T, D)

  if (trace) {
    const seen = { x, attnNorm: a, qkv, q, keys, values, attention: o, out: r, ffnNorm: f, ffn: d }
    for (const [name, value] of Object.entries(seen)) trace(`blocks.${i}.${name}`, value)
  }
  return { stream: { x: sum, d }, cache: { keys, values } }
}

type Sizes = [H: number, G: number, F: number]

/** The norm with the pending addition fused in; the first block has none. */
function norm({ x, d }: Stream, w: Tensor, eps: number): { x: Tensor; y: Tensor } {
  if (!d) return { x, y: rmsNorm(x, w, { eps }).y }
  const { sum, y } = addRmsNorm(x, d, w, { eps })
  return { x: sum, y }
}

/** Logits of every row of the stream.  → (rows, V) */
export function head(config: ModelConfig, weights: Weights, stream: Stream, trace?: Trace): Tensor {
  const { x, y } = norm(stream, weights.norm, config.normEps) // (rows, D) both
  trace?.("hidden", x)
  trace?.("norm", y)
  return matmul(y, weights.embedding, { N: config.vocabSize }) // (rows, V)
}

/** The rows of each sequence's last token.  (B·T, D) → (B, D) */
export function lastRows({ x, d }: Stream, B: number): Stream {
  const last = (rows: Tensor): Tensor => {
    const [N, D] = rows.shape as [number, number]
    if (N === B) return rows
    return reshape(slice(reshape(rows, [B, N / B, D]), 1, N / B - 1, 1), [B, D])
  }
  return { x: last(x), d: d && last(d) }
}
