// Attention in training: every position of a call at once, documents side by side kept separate, with
// a gradient that recomputes the weights. Kernels: causal_attention.as.ts and _grad.as.ts.
import {
  constant,
  type Gradients,
  type KernelCondition,
  op,
  type Tensor,
} from "../../engine/index.ts"
import { add, affine, exp, less, log, mul, select, sub } from "../plain/elementwise.ts"
import { cast } from "../plain/indexing.ts"
import { broadcast, permute, reshape } from "../plain/movement.ts"
import { dot, max, sum } from "../plain/reduce.ts"
import { sumParts } from "../shared/parts.ts"

type CausalSizes = Record<"B" | "T" | "H" | "G" | "E" | "scale", number>

/** Queries of a work item of the forward kernel. */
const blockQueries = 48
/** Work items that are enough for every thread: the gradient makes parts only to have as many. */
const enoughItems = 16

const range = (n: number): Tensor =>
  constant(
    Float32Array.from({ length: n }, (_, i) => i),
    [n],
  )

const swapLast = (x: Tensor): Tensor => permute(x, [0, 2, 1])

/** 1 where position t does not attend to key s: s > t or s < starts[b, t].  → (B, 1, T, T) */
function hiddenOf(starts: Tensor): Tensor {
  const [B, T] = starts.shape as [number, number]
  const later = less(reshape(range(T), [1, T, 1]), range(T)) // (1, T, T)
  const other = less(range(T), reshape(cast(starts, "f32"), [B, T, 1])) // (B, T, T)
  return reshape(add(other, later), [B, 1, T, T])
}

/** Rows of heads, those that share a key head together.  x (B·T, H·E) → (B·G, (H/G)·T, E) */
const gather = (x: Tensor, { B, T, H, G, E }: CausalSizes): Tensor =>
  reshape(permute(reshape(x, [B, T, H, E]), [0, 2, 1, 3]), [B * G, (H / G) * T, E])

/** What gather undoes.  x (B·G, (H/G)·T, E) → (B·T, H·E) */
const scatter = (x: Tensor, { B, T, H, E }: CausalSizes): Tensor =>
  reshape(permute(reshape(x, [B, H, T, E]), [0, 2, 1, 3]), [B * T, H * E])

/** scale·q·kᵀ, far below zero where hidden.  → (B·G, (H/G)·T, T) */
function scoresOf(q: Tensor, keys: Tensor, starts: Tensor, sizes: CausalSizes): Tensor {
  const { B, T, H, G, E, scale } = sizes
  const scores = dot(gather(q, sizes), reshape(keys, [B * G, T, E])) // (B·G, (H/G)·T, T)
  const hidden = reshape(broadcast(hiddenOf(starts), [B, H, T, T]), scores.shape)
  return select(hidden, -1e30, affine(scores, scale, 0))
}

const scale = 0.125
const cases = [
  { B: 2, T: 1, H: 2, G: 1, E: 64, scale },
  { B: 3, T: 31, H: 4, G: 2, E: 16, scale },
  { B: 2, T: 67, H: 2, G: 1, E: 6, scale },
  { B: 1, T: 130, H: 2, G: 2, E: 64, scale },
  { B: 2, T: 100, H: 3, G: 1, E: 128, scale },
] as const

/** No documents, but in the last of several sequences some of 1, 2, 4 … positions. */
const startsOf = (name: string, { B, T }: { B: number; T: number }) =>
  name === "starts"
    ? (i: number) => (i < T || i < (B - 1) * T ? 0 : 2 ** Math.floor(Math.log2((i % T) + 1)) - 1)
    : undefined

const refusal = ({ H, G, E }: { H: number; G: number; E: number }): string | undefined => {
  if (H % G) return `${H} query heads do not share ${G} key heads evenly`
  return E > 512 ? `head size E ${E} is more than 512` : undefined
}

/** Where tiles of 32 queries and keys serve a GPU. */
const tiled: KernelCondition<Record<"T" | "H" | "G" | "E", number>> = {
  text: "T·H > 32·G, 4 | E ≤ 128",
  holds: ({ T, H, G, E }) => T * H > 32 * G && E % 4 === 0 && E <= 128,
}

/** y = softmax(scale·q·kᵀ)·v of position t over keys starts[b, t] … t, 0 ≤ starts[b, t] ≤ t, and
 *  lse = ln Σ exp(scale·q·kᵀ) over the same keys; query head h reads key head ⌊h·G/H⌋.
 *  q (B·T, H·E), keys, values (B, G, T, E), starts (B, T) → y (B·T, H·E), lse (B·T, H)
 *  Dao et al. 2022, arXiv 2205.14135 */
export const causalAttention = op({
  name: "causalAttention",
  sig: `q:(B*T,H*E) keys:(B,G,T,E) values:(B,G,T,E) starts:i32(B,T) \
    -> y:(B*T,H*E) lse:(B*T,H)`,
  params: "B T H G E scale",
  check: refusal,
  meaning: ({ q, keys, values, starts }, sizes) => {
    const { B, T, H, G, E } = sizes
    const scores = scoresOf(q, keys, starts, sizes) // (B·G, (H/G)·T, T)
    const most = max(scores) // (B·G, (H/G)·T, 1)
    const lse = add(most, log(sum(exp(sub(scores, most))))) // (B·G, (H/G)·T, 1)
    const weighted = dot(exp(sub(scores, lse)), swapLast(reshape(values, [B * G, T, E])))
    return {
      y: scatter(weighted, sizes),
      lse: reshape(permute(reshape(lse, [B, H, T]), [0, 2, 1]), [B * T, H]),
    }
  },
  vjp: (d, { q, keys, values, starts, y, lse }, { B, G, H, scale }): Gradients | undefined => {
    if (!d.y || d.lse) return undefined
    const R = B * G < enoughItems ? H / G : 1
    const grad = causalAttentionGrad(q, keys, values, starts, y, lse, d.y, { R, scale })
    return { q: grad.dq, keys: join(grad.dKeyParts), values: join(grad.dValueParts) }
  },
  gpu: [
    {
      entry: "causalAttentionTile",
      from: ["attention/attention_tile.wgsl"],
      when: tiled,
      groups: ({ B, T, H, G }) => B * G * Math.ceil((T * H) / G / 32),
      fours: ["q", "keys", "values", "y"],
    },
    { from: ["attention/causal_attention.wgsl"], groups: ({ B, T, H }) => B * T * H },
  ],
  isProduct: true,
  rows: ({ B, T, H }) => B * H * Math.ceil(T / blockQueries),
  cost: ({ B, T, H, G, E }) => ({
    bytes: 4 * B * T * (2 * H * E + 2 * G * E + H),
    flops: 2 * B * H * E * T * (T + 1),
  }),
  cases,
  sample: startsOf,
})

/** The sum over R.  parts (B, G, R, T, E) → (B, G, T, E) */
function join(parts: Tensor): Tensor {
  const [B, G, R, T, E] = parts.shape as [number, number, number, number, number]
  const joined = R === 1 ? parts : sumParts(reshape(parts, [B * G, R, T * E]))
  return reshape(joined, [B, G, T, E])
}

/** Cotangents of causalAttention's inputs. The H/G query heads that share a key head are split into
 *  R parts, which have sums for keys and values of their own.
 *  q, y, dy (B·T, H·E), keys, values (B, G, T, E), starts (B, T), lse (B·T, H)
 *  → dq (B·T, H·E), dKeyParts, dValueParts (B, G, R, T, E) */
export const causalAttentionGrad = op({
  name: "causalAttentionGrad",
  sig: `q:(B*T,H*E) keys:(B,G,T,E) values:(B,G,T,E) starts:i32(B,T) \
    y:(B*T,H*E) lse:(B*T,H) dy:(B*T,H*E) \
    -> dq:(B*T,H*E) dKeyParts:(B,G,R,T,E) dValueParts:(B,G,R,T,E)`,
  params: "B T H G E R scale",
  check: ({ H, G, E, R }) =>
    refusal({ H, G, E }) ?? ((H / G) % R ? `${H / G} heads do not make ${R} parts` : undefined),
  meaning: ({ q, keys, values, starts, y, lse, dy }, sizes) => {
    const { B, T, H, G, E, R, scale } = sizes
    const column = reshape(permute(reshape(lse, [B, T, H]), [0, 2, 1]), [B * G, (H / G) * T, 1])
    const weights = exp(sub(scoresOf(q, keys, starts, sizes), column)) // (B·G, (H/G)·T, T)
    const dMixed = gather(dy, sizes) // (B·G, (H/G)·T, E)
    const delta = sum(mul(dMixed, gather(y, sizes))) // (B·G, (H/G)·T, 1)
    const dWeights = dot(dMixed, reshape(values, [B * G, T, E])) // (B·G, (H/G)·T, T)
    const dScores = affine(mul(weights, sub(dWeights, delta)), scale, 0)
    const dHeads = dot(dScores, swapLast(reshape(keys, [B * G, T, E]))) // (B·G, (H/G)·T, E)
    /** Σ over the queries of each part. */
    const product = (a: Tensor, b: Tensor): Tensor => {
      const split = (x: Tensor) =>
        swapLast(reshape(x, [B * G * R, ((H / G) * T) / R, x.shape[2] as number]))
      return reshape(dot(split(a), split(b)), [B, G, R, T, E])
    }
    return {
      dq: scatter(dHeads, sizes),
      dKeyParts: product(dScores, gather(q, sizes)),
      dValueParts: product(weights, dMixed),
    }
  },
  gpu: [
    {
      entry: "causalAttentionGradTile",
      from: ["attention/attention_tile_grad.wgsl", "attention/attention_tile.wgsl"],
      when: tiled,
      groups: ({ B, T, H, G, R }) =>
        B * G * (Math.ceil((T * H) / G / 32) + 2 * R * Math.ceil(T / 32)),
      fours: ["q", "keys", "values", "y", "dy", "dq", "dKeyParts", "dValueParts"],
    },
    {
      from: ["attention/causal_attention.wgsl"],
      groups: ({ B, T, H, G, R }) => B * T * H + B * G * R * T,
    },
  ],
  isProduct: true,
  rows: ({ B, G, R }) => B * G * R,
  cost: ({ B, T, H, G, E, R }) => ({
    bytes: 4 * B * T * (4 * H * E + (2 + 2 * R) * G * E + H),
    flops: 5 * B * H * E * T * (T + 1),
  }),
  cases: cases.flatMap((test) => [1, test.H / test.G].map((R) => ({ ...test, R }))),
  sample: startsOf,
})
