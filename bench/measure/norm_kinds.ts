// The ways to run a model's norms that the paper's table 8 compares, and those in between: recorders that
// record the same graph in other steps. Models run "folded".
import type { Tensor } from "../../engine/index.ts"
import {
  type Activation,
  cachedAttention,
  embed,
  type Heads,
  headsApart,
  type Inputs,
  inference,
  type Linear,
  multiply,
  multiplyAdd,
  type Norm,
  normalized,
  normed,
  positionsOf,
  productThen,
  type RecorderOf,
  type Stream,
} from "../../model/index.ts"
import { add, affine, meanRows, mul, rsqrt, scaleColumns, scaleRows } from "../../ops/index.ts"

/**
 * folded: in the product that follows, and the residual addition in the product before (as models run);
 * added: one step with the residual addition; fused: one step; naive: one step per primitive;
 * layerNorm: LayerNorm in one step; none: left out, the limit.
 */
export const normKinds = ["folded", "added", "fused", "naive", "layerNorm", "none"] as const
export type NormKind = (typeof normKinds)[number]

/** The recorder of a kind. */
export function recorderWith(kind: NormKind): RecorderOf {
  if (kind === "folded") return inference
  const isFused = kind === "added" || kind === "fused"
  const heads = isFused ? undefined : headsApart(normalizers[kind])
  return (inputs) =>
    separately(inputs, kind === "added" ? addedWithNorm : normAfterAdd(kind), heads)
}

/** The stream with its pending branch added, and its norm. */
type AddNorm = (before: Stream, n: Norm) => { x: Stream; a: Tensor }

const addedWithNorm: AddNorm = (before, n) => normed(before, { ...n, kind: "rms" })

const normAfterAdd =
  (kind: Exclude<NormKind, "folded" | "added">): AddNorm =>
  ({ x, d }, n) => {
    const sum = d ? add(x, d) : x
    return { x: { x: sum }, a: normalizers[kind](sum, n) }
  }

/** One norm by itself, by its kind, whatever the family has. */
export const normalizers = {
  none: (x: Tensor) => x,
  fused: (x: Tensor, n: Norm) => normalized(x, { ...n, kind: "rms" }),
  layerNorm: (x: Tensor, n: Norm) => normalized(x, { ...n, kind: "layer" }),
  /** Square, mean, add, rsqrt, multiply, multiply. */
  naive(x: Tensor, { weight, eps }: Norm) {
    const mean = meanRows(mul(x, x)) // (N)
    const y = scaleRows(x, rsqrt(affine(mean, 1, eps))) // (N, D)
    return weight ? scaleColumns(y, weight) : y
  },
} as const

/** Products without a norm in them, after the steps that add to the stream and normalize it. */
function separately(inputs: Inputs, addNorm: AddNorm, heads?: Heads) {
  return {
    embed,
    positions: positionsOf(inputs),
    multiply,
    multiplyAdd,
    normLinear(before: Stream, n: Norm | undefined, w: Linear, then?: Activation) {
      const { x, a } = n ? addNorm(before, n) : normed(before, undefined)
      return { x, y: productThen(a, w, then) }
    },
    normalize: (before: Stream, n: Norm): Stream => ({ x: addNorm(before, n).a }),
    addLinear: ({ x, d }: Stream, o: Tensor, w: Linear): Stream => ({
      x: d ? add(x, d) : x,
      d: productThen(o, w),
    }),
    ...cachedAttention(inputs, heads),
  }
}
