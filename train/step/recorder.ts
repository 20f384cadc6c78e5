// How blocks are recorded in training: steps of their own for norms, products and activations, so that
// what a gradient needs is kept; attention within documents, over the keys and values of the batch.

import { constant, type Tensor } from "../../engine/index.ts"
import {
  type AttentionSpec,
  anglesOf,
  biased,
  embed,
  type Linear,
  normed,
  normsOfHeads,
  type Recorder,
} from "../../model/index.ts"
import {
  add,
  causalAttention,
  matmul,
  matmulAdd,
  matmulAddDequantized,
  matmulDequantized,
  panelWidth,
  permute,
  qkNormRopeTrain,
  reshape,
  rotate,
  slice,
  swigluPanels,
} from "../../ops/index.ts"

/** Rows that were looked up in a table. */
export interface Lookup {
  readonly table: Linear
  readonly ids: Tensor // i32 (N)
  readonly x: Tensor // (N, D)
  readonly padding: number | undefined
}

interface TrainingRecorder extends Recorder {
  /** What was looked up, in the order of the calls. */
  readonly lookups: readonly Lookup[]
}

/** starts i32 (B, T): the first position that each position attends to. */
export function training(starts: Tensor): TrainingRecorder {
  const lookups: Lookup[] = []
  return {
    lookups,
    embed(ids, table, padding) {
      const x = embed(ids, table, padding)
      lookups.push({ table, ids, x, padding })
      return x
    },
    positions(offset) {
      const [B, T] = starts.shape as [number, number]
      const ids = Array.from({ length: B * T }, (_, n) => (n % T) + offset)
      return constant(ids, [B * T], "i32")
    },
    multiply,
    multiplyAdd: (x, { weight: w }, r) =>
      (isQuantized(w) ? matmulAddDequantized : matmulAdd)(x, w, r),
    normLinear(before, n, w, then) {
      const { x, a } = normed(before, n)
      if (then !== "swiglu") return { x, y: biased(multiply(a, w), w, then) }
      const outputs = (w.weight.shape[0] as number) * panelWidth
      return { x, y: swigluPanels(multiply(a, { ...w, outputs }), { F: w.outputs / 2 }) }
    },
    normalize: (before, n) => ({ x: normed(before, n).a }),
    addLinear: ({ x, d }, o, w) => ({ x: d ? add(x, d) : x, d: biased(multiply(o, w), w) }),
    attend: (qkv, how) => attendTo(starts, qkv, how),
  }
}

const isQuantized = ({ dtype }: Tensor): boolean => dtype === "u8"

/** x·Wᵀ, of quantized weights by the numbers that they stand for: what is computed has this gradient.
 *  x (M, K) → (M, N) */
export const product = (x: Tensor, w: Tensor, N: number): Tensor =>
  (isQuantized(w) ? matmulDequantized : matmul)(x, w, { N })

const multiply = (x: Tensor, { weight, outputs }: Linear): Tensor => product(x, weight, outputs)

/** Causal attention within documents, over the keys and values of this batch alone. */
function attendTo(starts: Tensor, qkv: Tensor, how: AttentionSpec): Tensor {
  const [B, T] = starts.shape as [number, number]
  const { q, keys, values } = how.headNorms
    ? rotatedNormed(qkv, how, B, T)
    : rotated(qkv, how, B, T)
  return causalAttention(q, keys, values, starts, { scale: how.scale }).y // (B·T, H·E)
}

function rotatedNormed(qkv: Tensor, how: AttentionSpec, B: number, T: number) {
  const { q, k, eps } = normsOfHeads(how)
  const sizes = { B, T, H: how.queryHeads, G: how.keyHeads, eps }
  return qkNormRopeTrain(qkv, q, k, anglesOf(how), sizes)
}

/** The same without norms, in plain ops. */
function rotated(qkv: Tensor, how: AttentionSpec, B: number, T: number) {
  const { queryHeads: H, keyHeads: G, headDim: E, angles } = how
  const heads = reshape(qkv, [B, T, H + 2 * G, E])
  const part = (first: number, count: number): Tensor =>
    permute(slice(heads, 2, first, count), [0, 2, 1, 3]) // (B, count, T, E)
  const here = angles && reshape(slice(angles, 0, 0, T), [1, 1, T, E])
  const turned = (x: Tensor): Tensor => (here ? rotate(x, here) : x)
  const q = turned(part(0, H)) // (B, H, T, E)
  const keys = turned(part(H, G)) // (B, G, T, E)
  return {
    q: reshape(permute(q, [0, 2, 1, 3]), [B * T, H * E]),
    keys,
    values: part(H + G, G), // (B, G, T, E)
  }
}
