// How a block becomes calls of ops: families (architecture.ts) name norms, products and attention, a
// recorder says which steps these are. This one is for inference, with norms and residual additions
// folded into the products around them; train/step/recorder.ts keeps what gradients need.
import { constant, type Tensor } from "../engine/index.ts"
import {
  add,
  addBias,
  addRmsNorm,
  biasGelu,
  biasRelu,
  layerNorm,
  positionIds,
  rmsNorm,
} from "../ops/index.ts"
import { cachedAttention } from "./cached_attention.ts"
import {
  addProduct,
  embedding,
  gatedProduct,
  normGatedProduct,
  normProduct,
  product,
} from "./products.ts"

/** The residual stream; `d` is a branch still to be added to x. */
export interface Stream {
  readonly x: Tensor // (B·T, D)
  readonly d?: Tensor // (B·T, D)
}

/** RMSNorm, x/rms(x)·weight, or LayerNorm, (x − mean)/std·weight + bias; without a weight: by ones. */
export interface Norm {
  readonly kind: "rms" | "layer"
  readonly eps: number
  readonly weight?: Tensor // (D)
  readonly bias?: Tensor // (D), of a LayerNorm
}

/** A matrix as a backend keeps it, of `outputs` rows; gated ones have gates and values in turns. */
export interface Linear {
  readonly weight: Tensor // panels
  readonly bias?: Tensor // (outputs)
  readonly inputs: number
  readonly outputs: number
}

/** What becomes of a product: silu(g)·v of the gates and values that a gated matrix gives, half as wide;
 *  or the exact GELU, or ReLU, of each number. */
export type Activation = "swiglu" | "gelu" | "relu"

/** Attention over the heads of one layer. */
export interface AttentionSpec {
  readonly layer: number
  readonly queryHeads: number
  readonly keyHeads: number
  readonly headDim: number
  readonly scale: number
  /** Of rotary positions; without them queries and keys are as they come. */
  readonly angles?: Tensor // (positions, E)
  /** Norms of each head's queries and keys, both or neither. */
  readonly headNorms?: { readonly q: Norm; readonly k: Norm } | undefined
}

/** Called with every intermediate by name, for those who want to look. */
export type Trace = (name: string, value: Tensor) => void

export interface Recorder {
  /** Rows of a table; the padding row, if any, gets no gradient.  ids i32 (N) → (N, D) */
  embed(ids: Tensor, table: Linear, padding?: number): Tensor
  /** Positions of all tokens, as rows of a table that begins with `offset` others.  → i32 (B·T) */
  positions(offset: number): Tensor
  /** W·x and nothing after it.  x (N, inputs) → (N, outputs) */
  multiply(x: Tensor, w: Linear): Tensor
  /** r + W·x, in the memory of r where nothing else needs it.  x (N, inputs), r (N, outputs) → (N, outputs) */
  multiplyAdd(x: Tensor, w: Linear, r: Tensor): Tensor
  /** W·norm(stream), and the stream without a pending branch. */
  normLinear(x: Stream, n: Norm | undefined, w: Linear, then?: Activation): Normed
  /** The norm of the stream in its place. */
  normalize(x: Stream, n: Norm): Stream
  /** The stream with W·o added, now or later. */
  addLinear(x: Stream, o: Tensor, w: Linear): Stream
  /** Queries over all keys up to each position.  qkv (B·T, (H + 2G)·E): heads of queries, then keys, then
   *  values → (B·T, H·E) */
  attend(qkv: Tensor, how: AttentionSpec, see?: Trace): Tensor
}

interface Normed {
  readonly x: Stream
  readonly y: Tensor
}

/** In q8, rows of E + 4 bytes (ops/attention/q8_rows.ts). */
export interface LayerCache {
  readonly keys: Tensor // (B, G, S, E)
  readonly values: Tensor // (B, G, S, E)
}

export interface Inputs {
  readonly tokens: Tensor // i32 (B·T)
  readonly position: Tensor // i32 (B), of each sequence's first token in this call
  readonly caches: readonly LayerCache[]
  /** Which of several adapters each sequence goes through. */
  readonly routes?: Tensor // i32 (B)
}

/** A recorder of one call, and the caches with this call's keys and values in them. */
export interface CachedRecorder extends Recorder {
  readonly caches: readonly LayerCache[]
}

/** Makes the recorder of a call. */
export type RecorderOf = (inputs: Inputs) => CachedRecorder

/** Norms, activations and adds in the products beside them, attention in one op. */
export const inference: RecorderOf = (inputs) => ({
  embed,
  positions: positionsOf(inputs),
  multiply,
  multiplyAdd,
  normLinear: ({ x }, n, w, then) => ({ x: { x }, y: normThenProduct(x, n, w, then) }),
  normalize: ({ x }, n) => ({ x: normalized(x, n) }),
  addLinear: ({ x }, o, w) => ({ x: biased(addProduct(o, w.weight, x), w) }),
  ...cachedAttention(inputs),
})

function normThenProduct(x: Tensor, n: Norm | undefined, w: Linear, then?: Activation): Tensor {
  const { weight, outputs } = w
  if (n?.kind === "rms" && n.weight) {
    if (then === "swiglu") return normGatedProduct(x, n.weight, weight, outputs / 2, n.eps)
    return biased(normProduct(x, n.weight, weight, outputs, n.eps), w, then)
  }
  return productThen(n ? normalized(x, n) : x, w, then)
}

export const multiply = (x: Tensor, w: Linear): Tensor => product(x, w.weight, w.outputs)

export const multiplyAdd = (x: Tensor, { weight }: Linear, r: Tensor): Tensor =>
  addProduct(x, weight, r)

/** A product by itself, and what becomes of it.  x (N, inputs) → (N, outputs), half of it if gated */
export function productThen(x: Tensor, w: Linear, then?: Activation): Tensor {
  if (then === "swiglu") return gatedProduct(x, w.weight, w.outputs / 2)
  return biased(product(x, w.weight, w.outputs), w, then)
}

/** The bias of a product that has one, and an activation.  y (N, outputs) → the same */
export function biased(y: Tensor, { bias }: Linear, then?: "gelu" | "relu"): Tensor {
  if (!then) return bias ? addBias(y, bias) : y
  const D = y.shape[1] as number
  const b = bias ?? constant(new Float32Array(D), [D])
  return then === "gelu" ? biasGelu(y, b) : biasRelu(y, b)
}

/** Positions of the tokens of a call over a cache. */
export const positionsOf =
  ({ tokens, position }: Inputs) =>
  (offset: number): Tensor =>
    positionIds(position, { T: tokens.size / position.size, Offset: offset })

export const embed = (ids: Tensor, table: Linear, padding?: number): Tensor =>
  embedding(ids, table.weight, table.inputs, padding)

/** A norm as a step of its own.  x (N, D) → (N, D) */
export function normalized(x: Tensor, { kind, eps, weight, bias }: Norm): Tensor {
  const D = x.shape[1] as number
  const row = (value: number) => constant(new Float32Array(D).fill(value), [D])
  if (kind === "rms") return rmsNorm(x, weight ?? row(1), { eps }).y
  return layerNorm(x, weight ?? row(1), bias ?? row(0), { eps })
}

/** The stream with its pending branch added, and its norm; RMSNorm does both in one step. */
export function normed({ x, d }: Stream, n: Norm | undefined): { x: Stream; a: Tensor } {
  if (d && n?.kind === "rms" && n.weight) {
    const { sum, y } = addRmsNorm(x, d, n.weight, { eps: n.eps })
    return { x: { x: sum }, a: y }
  }
  const sum = d ? add(x, d) : x
  return { x: { x: sum }, a: n ? normalized(sum, n) : sum }
}
