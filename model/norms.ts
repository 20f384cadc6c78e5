// The ways to run a model's norms, from none to folded into their neighbours: the same graph around
// them, other steps. `elm bench norms` compares them; models run "folded".
import { constant, type Tensor } from "../engine/index.ts"
import {
  add,
  addRmsNorm,
  affine,
  layerNorm,
  meanRows,
  mul,
  panelWidth,
  qkNormRope,
  reshape,
  rmsNorm,
  ropeWrite,
  rsqrt,
  scaleColumns,
  scaleRows,
  slice,
  swigluPanels,
} from "../ops/index.ts"
import { addProduct, gatedProduct, normGatedProduct, normProduct, product } from "./products.ts"

/**
 * folded: in the product that follows, and the residual addition in the product before (default);
 * added: one step with the residual addition; fused: one step; naive: one step per primitive;
 * layerNorm: LayerNorm in one step; none: left out, the limit.
 */
export type NormKind = "folded" | "added" | "fused" | "naive" | "layerNorm" | "none"

export const normKinds: readonly NormKind[] = [
  "folded",
  "added",
  "fused",
  "naive",
  "layerNorm",
  "none",
]

/** The residual stream; `d` is a branch still to be added to x. */
export interface Stream {
  readonly x: Tensor // (B·T, D)
  readonly d?: Tensor // (B·T, D)
}

export interface Heads {
  readonly qkv: Tensor // (B·T, (H + 2G)·E)
  readonly qNorm: Tensor // (E)
  readonly kNorm: Tensor // (E)
  readonly angles: Tensor // (C, E)
  readonly keys: Tensor // (B, G, S, E)
  readonly values: Tensor // (B, G, S, E)
  readonly position: Tensor // i32 (B)
}

export interface Attended {
  readonly q: Tensor // (B·T, H·E)
  readonly keys: Tensor // (B, G, S, E)
  readonly values: Tensor // (B, G, S, E)
}

/** The four places of a block where a norm or a residual addition is. */
export interface Norms {
  /** W·norm(stream), N outputs, and the stream without a pending branch. */
  project(stream: Stream, n: Tensor, w: Tensor, N: number): { stream: Stream; y: Tensor }
  /** swiglu(W·norm(stream)), F outputs. */
  gate(stream: Stream, n: Tensor, w: Tensor, F: number): { stream: Stream; y: Tensor }
  /** The stream with W·o added, now or later. */
  join(stream: Stream, o: Tensor, w: Tensor): Stream
  /** Normalised, rotated queries and the caches with the new keys and values. */
  heads(heads: Heads): Attended
  /** Whether a single position takes `heads` and attention in one step over slices of the cache. */
  readonly sliced?: boolean
}

type Normalise = (x: Tensor, n: Tensor) => Tensor

/** The norms of a kind; `headNorms` false leaves those of queries and keys out (OLMo has none).
 *  `sliced` where the backend has the kernels for it: it serves norms of heads in one step. */
export function normsOf(kind: NormKind, eps: number, headNorms = true, sliced = false): Norms {
  const norms = kind === "folded" ? folded(eps) : kind === "added" ? added(eps) : apart(kind, eps)
  if (!headNorms) return { ...norms, heads: (heads) => headsApart(heads, (x) => x) }
  return { ...norms, sliced: sliced && ["folded", "added", "fused"].includes(kind) }
}

const folded = (eps: number): Norms => ({
  project: ({ x }, n, w, N) => ({ stream: { x }, y: normProduct(x, n, w, N, eps) }),
  gate: ({ x }, n, w, F) => ({ stream: { x }, y: normGatedProduct(x, n, w, F, eps) }),
  join: ({ x }, o, w) => ({ x: addProduct(o, w, x) }),
  heads: (heads) => headsFused(heads, eps),
})

const added = (eps: number): Norms => ({
  ...separately(settler(eps)),
  heads: (heads) => headsFused(heads, eps),
})

type Settle = (stream: Stream, n: Tensor) => { stream: Stream; a: Tensor }

/** The norm of the stream, in one step with the pending branch. */
export const settler =
  (eps: number): Settle =>
  ({ x, d }, n) => {
    if (!d) return { stream: { x }, a: rmsNorm(x, n, { eps }).y }
    const { sum, y } = addRmsNorm(x, d, n, { eps })
    return { stream: { x: sum }, a: y }
  }

/** As "added", with an activation of its own: everything that a gradient needs is kept. */
export function trainable(eps: number): Omit<Norms, "heads"> {
  const settle = settler(eps)
  return {
    ...separately(settle),
    gate(before, n, w, F) {
      const { stream, a } = settle(before, n)
      return { stream, y: swigluPanels(product(a, w, (w.shape[0] as number) * panelWidth), { F }) }
    },
  }
}

function apart(kind: NormKind, eps: number): Norms {
  const normalise = normalisers(eps)[kind as keyof ReturnType<typeof normalisers>]
  const settle = ({ x, d }: Stream, n: Tensor) => {
    const sum = d ? add(x, d) : x
    return { stream: { x: sum }, a: normalise(sum, n) }
  }
  const fusedHeads = (heads: Heads) => headsFused(heads, eps)
  const heads = (each: Heads) => headsApart(each, normalise)
  return { ...separately(settle), heads: kind === "fused" ? fusedHeads : heads }
}

/** Products without a norm in them, after a step that settles the stream. */
const separately = (settle: Settle): Omit<Norms, "heads"> => ({
  project(before, n, w, N) {
    const { stream, a } = settle(before, n)
    return { stream, y: product(a, w, N) }
  },
  gate(before, n, w, F) {
    const { stream, a } = settle(before, n)
    return { stream, y: gatedProduct(a, w, F) }
  },
  join: ({ x }, o, w) => ({ x, d: product(o, w, x.shape[1] as number) }),
})

/** One norm by itself, by its kind. */
export const normalisers = (eps: number) => ({
  none: (x: Tensor) => x,
  fused: (x: Tensor, n: Tensor) => rmsNorm(x, n, { eps }).y,
  layerNorm: (x: Tensor, n: Tensor) =>
    layerNorm(x, n, constant(new Float32Array(n.size), n.shape), { eps }),
  /** Square, mean, add, rsqrt, multiply, multiply. */
  naive(x: Tensor, n: Tensor) {
    const mean = meanRows(mul(x, x)) // (N)
    return scaleColumns(scaleRows(x, rsqrt(affine(mean, 1, eps))), n) // (N, D)
  },
})

function headsFused({ qkv, qNorm, kNorm, angles, keys, values, position }: Heads, eps: number) {
  const result = qkNormRope(qkv, qNorm, kNorm, angles, keys, values, position, { eps })
  return { q: result.q, keys: result.newKeys, values: result.newValues }
}

/** Queries and keys cut out of qkv and normalised as rows of one head each. */
function headsApart(heads: Heads, normalise: Normalise): Attended {
  const { qkv, qNorm, kNorm, angles, keys, values, position } = heads
  const [, G, , E] = keys.shape as [number, number, number, number]
  const [N, J] = qkv.shape as [number, number]
  const [Q, K] = [J - 2 * G * E, G * E]
  const part = (start: number, width: number, n: Tensor) => {
    const rows = reshape(slice(qkv, 1, start, width), [(N * width) / E, E])
    return reshape(normalise(rows, n), [N, width])
  }
  const [q, k] = [part(0, Q, qNorm), part(Q, K, kNorm)] // (B·T, H·E), (B·T, G·E)
  const v = slice(qkv, 1, Q + K, K) // (B·T, G·E)
  const result = ropeWrite(q, k, v, angles, keys, values, position)
  return { q: result.y, keys: result.newKeys, values: result.newValues }
}
