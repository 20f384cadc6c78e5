// Attention over a key-value cache, as a recorder of inference records it (recorder.ts): in as few steps as
// there are for the heads of a family and the form of the cache, or in steps of their own.
import type { Tensor } from "../engine/index.ts"
import {
  attention,
  attentionQ8,
  cast,
  qkNormRope,
  qkNormRopeQ8,
  readRowsQ8,
  reshape,
  ropeAttention,
  ropeAttentionQ8,
  ropeHeads,
  ropeHeadsQ8,
  ropeWrite,
  slice,
  splitHeads,
  splitHeadsQ8,
} from "../ops/index.ts"
import type { AttentionSpec, CachedRecorder, Inputs, LayerCache, Norm, Trace } from "./recorder.ts"

const steps = { ropeAttention, qkNormRope, ropeHeads, splitHeads, attention }
const q8Steps: typeof steps = {
  ropeAttention: ropeAttentionQ8,
  qkNormRope: qkNormRopeQ8,
  ropeHeads: ropeHeadsQ8,
  splitHeads: splitHeadsQ8,
  attention: attentionQ8,
}

const isQ8 = ({ dtype }: Tensor): boolean => dtype === "u8"

/** The steps for a cache's form. */
const stepsOver = ({ keys }: LayerCache): typeof steps => (isQ8(keys) ? q8Steps : steps)

/** The numbers that keys or values stand for.  → f32 (B, G, S, E) */
const numbersOf = (x: Tensor): Tensor => (isQ8(x) ? readRowsQ8(x) : cast(x, "f32"))

interface Attended {
  readonly q: Tensor // (B·T, H·E)
  readonly keys: Tensor // (B, G, S, E)
  readonly values: Tensor // (B, G, S, E)
}

/** Normalized, rotated queries, and the caches with the new keys and values. */
export type Heads = (
  qkv: Tensor,
  how: AttentionSpec,
  cache: LayerCache,
  position: Tensor,
) => Attended

/** Attention after `heads`, a step or more of their own; without them, one op for both. */
export function cachedAttention(
  { position, caches }: Inputs,
  heads?: Heads,
): Pick<CachedRecorder, "attend" | "caches"> {
  const now: LayerCache[] = []
  const attend = (qkv: Tensor, how: AttentionSpec, see?: Trace): Tensor => {
    const cache = caches[how.layer] as LayerCache
    if (!heads && how.headNorms && !see) {
      const { y, ...after } = attendAtOnce(qkv, how, cache, position)
      now[how.layer] = after
      return y // (B·T, H·E)
    }
    const { q, keys, values } = (heads ?? headsFused)(qkv, how, cache, position)
    now[how.layer] = { keys, values }
    see?.("q", q)
    see?.("keys", numbersOf(keys))
    see?.("values", numbersOf(values))
    const { attention } = stepsOver(cache)
    return attention(q, keys, values, position, { scale: how.scale }) // (B·T, H·E)
  }
  return { caches: now, attend }
}

/** Head norms, RoPE, cache write and attention; how a backend runs them, the engine chooses. */
function attendAtOnce(qkv: Tensor, how: AttentionSpec, cache: LayerCache, position: Tensor) {
  const { scale } = how
  const { q, k, eps } = normsOfHeads(how)
  const { keys, values } = cache
  const { ropeAttention } = stepsOver(cache)
  const now = ropeAttention(qkv, q, k, anglesOf(how), keys, values, position, { eps, scale })
  return { y: now.y, keys: now.newKeys, values: now.newValues }
}

/** The weights of both norms of heads, which the fused steps take as RMSNorm with one eps. */
export function normsOfHeads({ headNorms }: AttentionSpec): { q: Tensor; k: Tensor; eps: number } {
  const { q, k } = headNorms ?? {}
  if (q?.weight && k?.weight && q.kind === "rms" && k.kind === "rms" && q.eps === k.eps) {
    return { q: q.weight, k: k.weight, eps: q.eps }
  }
  throw new RangeError("norms of heads must be RMSNorm with weights and one eps")
}

/** The angles of rotary positions, which the fused steps of normalized heads have. */
export function anglesOf({ angles }: AttentionSpec): Tensor {
  if (angles) return angles
  throw new RangeError("heads with norms must have rotary positions")
}

/** All of it in one step, where heads are normalized. */
const headsFused: Heads = (qkv, how, cache, position) => {
  if (!how.headNorms) return headsUnnormed(qkv, how, cache, position)
  const { q, k, eps } = normsOfHeads(how)
  const { keys, values } = cache
  const { qkNormRope } = stepsOver(cache)
  const result = qkNormRope(qkv, q, k, anglesOf(how), keys, values, position, { eps })
  return { q: result.q, keys: result.newKeys, values: result.newValues }
}

/** The same where they are not, with rotary positions or without. */
const headsUnnormed: Heads = (qkv, { angles }, cache, position) => {
  const { keys, values } = cache
  const { ropeHeads, splitHeads } = stepsOver(cache)
  const result = angles
    ? ropeHeads(qkv, angles, keys, values, position)
    : splitHeads(qkv, keys, values, position)
  return { q: result.q, keys: result.newKeys, values: result.newValues }
}

/** Queries and keys cut out of qkv, and normalized as rows of one head each where `normalize` says how. */
export const headsApart =
  (normalize?: (x: Tensor, n: Norm) => Tensor): Heads =>
  (qkv, how, cache, position) => {
    if (!how.headNorms) return headsUnnormed(qkv, how, cache, position)
    const { queryHeads: H, keyHeads: G, headDim: E, headNorms } = how
    const N = qkv.shape[0] as number
    const part = (first: number, count: number, n?: Norm) => {
      const columns = slice(qkv, 1, first * E, count * E) // (B·T, count·E)
      if (!n || !normalize) return columns
      return reshape(normalize(reshape(columns, [N * count, E]), n), [N, count * E])
    }
    const [q, k, v] = [part(0, H, headNorms.q), part(H, G, headNorms.k), part(H + G, G)] as const
    const result = ropeWrite(q, k, v, anglesOf(how), cache.keys, cache.values, position)
    return { q: result.y, keys: result.newKeys, values: result.newValues }
  }
