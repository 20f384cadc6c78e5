// Attention in training: every position of a call at once, documents side by side kept apart, with
// a gradient that recomputes the weights. Kernel: causal_attention.as.ts.
import { constant, op, type Tensor } from "../engine/index.ts"
import { add, affine, exp, less, log, select, sub } from "./elementwise.ts"
import { cast } from "./indexing.ts"
import { broadcast, permute, reshape } from "./movement.ts"
import { dot, max, sum } from "./reduce.ts"

const range = (n: number): Tensor =>
  constant(
    Float32Array.from({ length: n }, (_, i) => i),
    [n],
  )

/** 1 where position t does not attend to key s: s > t or s < starts[b, t].  → (B, 1, T, T) */
function hiddenOf(starts: Tensor): Tensor {
  const [B, T] = starts.shape as [number, number]
  const later = less(reshape(range(T), [1, T, 1]), range(T)) // (1, T, T)
  const other = less(range(T), reshape(cast(starts, "f32"), [B, T, 1])) // (B, T, T)
  return reshape(add(other, later), [B, 1, T, T])
}

const scale = 0.125

/** No documents, but in the last of several sequences some of 1, 2, 4 … positions. */
const startsOf = (name: string, { B, T }: { B: number; T: number }) =>
  name === "starts"
    ? (i: number) => (i < T || i < (B - 1) * T ? 0 : 2 ** Math.floor(Math.log2((i % T) + 1)) - 1)
    : undefined

/** y = softmax(scale·q·kᵀ)·v of position t over keys starts[b, t] … t, 0 ≤ starts[b, t] ≤ t, and
 *  lse = ln Σ exp(scale·q·kᵀ) over the same keys; query head h reads key head ⌊h·G/H⌋.
 *  q (B·T, H·E), keys, values (B, G, T, E), starts (B, T) → y (B·T, H·E), lse (B·T, H)
 *  Dao et al. 2022, arXiv 2205.14135 */
export const causalAttention = op({
  name: "causalAttention",
  sig: `
    q:(B*T,H*E) keys:(B,G,T,E) values:(B,G,T,E) starts:i32(B,T)
    -> y:(B*T,H*E) lse:(B*T,H)`,
  params: "B T H G E scale",
  check: ({ H, G, E }) => {
    if (H % G) return `${H} query heads do not share ${G} key heads evenly`
    return E > 512 ? `head size E ${E} is more than 512` : undefined
  },
  meaning: ({ q, keys, values, starts }, { B, T, H, G, E, scale }) => {
    const R = (H / G) * T
    const heads = permute(reshape(q, [B, T, H, E]), [0, 2, 1, 3]) // (B, H, T, E)
    const scores = dot(reshape(heads, [B * G, R, E]), reshape(keys, [B * G, T, E])) // (B·G, R, T)
    const hidden = reshape(broadcast(hiddenOf(starts), [B, H, T, T]), [B * G, R, T])
    const seen = select(hidden, -1e30, affine(scores, scale, 0)) // (B·G, R, T)
    const most = max(seen) // (B·G, R, 1)
    const lse = add(most, log(sum(exp(sub(seen, most))))) // (B·G, R, 1)
    const weights = exp(sub(seen, lse)) // (B·G, R, T)
    const mixed = dot(weights, permute(reshape(values, [B * G, T, E]), [0, 2, 1])) // (B·G, R, E)
    return {
      y: reshape(permute(reshape(mixed, [B, H, T, E]), [0, 2, 1, 3]), [B * T, H * E]),
      lse: reshape(permute(reshape(lse, [B, H, T]), [0, 2, 1]), [B * T, H]),
    }
  },
  rows: ({ B, T, H }) => B * H * Math.ceil(T / 48),
  cost: ({ B, T, H, G, E }) => ({
    bytes: 4 * B * T * (2 * H * E + 2 * G * E + H),
    flops: 2 * B * H * E * T * (T + 1),
  }),
  cases: [
    { B: 2, T: 1, H: 2, G: 1, E: 64, scale },
    { B: 3, T: 31, H: 4, G: 2, E: 16, scale },
    { B: 2, T: 67, H: 2, G: 1, E: 6, scale },
    { B: 1, T: 130, H: 2, G: 2, E: 64, scale },
    { B: 2, T: 100, H: 3, G: 1, E: 128, scale },
  ],
  sample: startsOf,
})
