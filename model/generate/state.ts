// What a sequence is on the device: keys and values of its tokens, its last token and where it stands; for
// one sequence, or several side by side. And the one plan that moves all of them on by a token.
import {
  type Backend,
  bound,
  bufferOf,
  itemBytes,
  offsetOf,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import { advance, cast, q8RowBytes, reshape, sample, take, takeBytes } from "../../ops/index.ts"
import type { LayerWeights } from "../architecture.ts"
import { type Decoder, hidden, logitsOf } from "../forward.ts"
import type { LayerCache, Recorder, Stream } from "../recorder.ts"
import type { Holder } from "../weights/holder.ts"

/** How keys and values are kept. In f16, a value beyond ±65504 is kept as that; in q8, each head's numbers
 *  of a position are signed bytes that share a scale. */
export const cacheDTypes = ["f32", "f16", "q8"] as const
/** Types of numbers in a key-value cache. */
export type CacheDType = (typeof cacheDTypes)[number]

/** Sizes of a key-value cache: positions in each layer, and what one number takes. */
export interface CacheOptions {
  readonly capacity: number
  readonly cache: CacheDType
}

/** Bytes of a head's keys or values at one position. */
export const cacheRowBytes = (headDim: number, cache: CacheDType): number =>
  cache === "q8" ? q8RowBytes(headDim) : headDim * itemBytes(cache)

/** Memory for keys and values of `capacity` positions in every layer, close to the layer's weights. */
export function allocateCaches(
  { config, weights }: Decoder,
  holder: Holder,
  { batch, capacity, cache }: CacheOptions & { readonly batch: number },
): LayerCache[] {
  return config.keyHeads.map((G, i) => {
    const dtype = cache === "q8" ? "u8" : cache
    const row = cacheRowBytes(config.headDim, cache) / itemBytes(dtype)
    const shape = [batch, G, capacity, row] // (B, G, S, E), in q8 of E + 4 bytes
    const near = firstMatrix(weights.layers[i])
    const [keys, values] = [0, 1].map(() => holder.allocate(shape, dtype, near))
    return { keys: keys as Tensor, values: values as Tensor }
  })
}

const firstMatrix = (layer: LayerWeights = {}): Tensor | undefined =>
  Object.values(layer).find((part) => "outputs" in part)?.weight

/** Updates that put a call's keys and values into the caches. */
export const cacheUpdates = (caches: readonly LayerCache[], now: readonly LayerCache[]): Update[] =>
  caches.flatMap(({ keys, values }, i): Update[] => [
    [keys, now[i]?.keys as Tensor],
    [values, now[i]?.values as Tensor],
  ])

/** Where a sequence lies on the device. */
export interface SequenceState {
  readonly caches: readonly LayerCache[]
  readonly token: Tensor // i32 (1): the last token chosen, the next to be read
  // Both are advanced on the device after every run that chooses a token.
  readonly position: Tensor // i32 (1): of the first token that a run reads
  readonly next: Tensor // i32 (1): of the token that a run chooses
  readonly controls: Tensor // (1, 3)
  readonly seed: Tensor // i32 (1)
  readonly route: Tensor // i32 (1): which of a decoder's adapters it goes through, if there are several
}

/** States of `batch` sequences, side by side: (B) for each (1). */
export function allocateStates(
  decoder: Decoder,
  held: Holder,
  batch: number,
  options: CacheOptions,
): SequenceState {
  const numbers = () => held.allocate([batch], "i32")
  return {
    caches: allocateCaches(decoder, held, { batch, ...options }),
    ...{ token: numbers(), position: numbers(), next: numbers(), seed: numbers() },
    route: numbers(),
    controls: held.allocate([batch, 3]),
  }
}

/** Reads the chosen token of every sequence into its cache, and chooses the next ones; into `logits`
 *  (B, V), if given, come theirs, and whoever reads them chooses, unless `isChosen` too. */
export function recordDecode(
  decoder: Decoder,
  state: SequenceState,
  logits?: Tensor,
  isChosen = logits === undefined,
): Update[] {
  const { caches, token, position, next, route } = state
  const now = hidden(decoder, { tokens: token, position, caches, routes: route })
  const updates = cacheUpdates(caches, now.caches)
  if (isChosen) return [...updates, ...choose(decoder, now.recorder, now.stream, state, logits)]
  const { last, after } = advance(position, next) // i32 (B), i32 (B)
  const rows = logitsOf(decoder, now.recorder, now.stream) // (B, V)
  return [...updates, [logits as Tensor, rows], [position, last], [next, after]]
}

/** The token after a row of the stream for every sequence, and its place; `kept` (B, V), if given, are
 *  the logits that it is chosen by. */
export function choose(
  decoder: Decoder,
  recorder: Recorder,
  rows: Stream,
  { token, position, next, controls, seed }: SequenceState,
  kept?: Tensor,
): Update[] {
  const logits = logitsOf(decoder, recorder, rows) // (B, V)
  // Recorded in the order in which they run, so that nothing is copied: one reads what the next replaces.
  const chosen = sample(logits, controls, seed, next) // i32 (B)
  const { last, after } = advance(position, next) // i32 (B), i32 (B)
  return [
    ...(kept ? [[kept, logits] as Update] : []),
    [token, chosen],
    [position, last],
    [next, after],
  ]
}

/** Makes each sequence's cache that of sequence from[i].  from i32 (B) */
export const recordCopies = ({ caches }: SequenceState, from: Tensor): Update[] =>
  caches.flatMap(({ keys, values }) => [keys, values].map((x): Update => [x, takeRows(x, from)]))

/** Makes the cache of sequence `to` that of sequence from[0].  from i32 (1) */
export const recordCopy = ({ caches }: SequenceState, from: Tensor, to: number): Update[] =>
  caches.flatMap(({ keys, values }) =>
    [keys, values].map((x): Update => [rowsOf(x, to, 1), takeRows(x, from)]),
  )

/** x[from[i]]; f16 goes through f32, which holds all of it.  x (B, …), from (N) → (N, …) */
function takeRows(x: Tensor, from: Tensor): Tensor {
  const [B = 1, ...rest] = x.shape
  const shape = [from.size, ...rest]
  if (x.dtype === "u8") return reshape(takeBytes(reshape(x, [B, x.size / B]), from), shape)
  const single = x.dtype === "f32" ? x : cast(x, "f32")
  const taken = reshape(take(reshape(single, [B, x.size / B]), from), shape)
  return x.dtype === "f32" ? taken : cast(taken, x.dtype)
}

/** Sequence i of several, in their memory. */
export const stateOf = (state: SequenceState, i: number): SequenceState => statesOf(state, i, 1)

/** `count` of several from sequence i on, in their memory. */
export function statesOf(
  { caches, ...rest }: SequenceState,
  i: number,
  count: number,
): SequenceState {
  const part = (x: Tensor): Tensor => rowsOf(x, i, count)
  const { token, position, next, controls, seed, route } = rest
  return {
    caches: caches.map(({ keys, values }) => ({ keys: part(keys), values: part(values) })),
    ...{ token: part(token), position: part(position), next: part(next) },
    ...{ controls: part(controls), seed: part(seed), route: part(route) },
  }
}

/** Rows of a bound tensor from row i on.  (B, …) → (count, …) */
function rowsOf(x: Tensor, i: number, count: number): Tensor {
  const bytes = (x.size / (x.shape[0] as number)) * itemBytes(x.dtype)
  return bound(bufferOf(x), [count, ...x.shape.slice(1)], x.dtype, offsetOf(x) + i * bytes)
}

/** The first positions of each head of a sequence's keys or values.  (1, G, S, E) → G of (count, E), in
 *  q8 of as many bytes as its rows have */
export function headsOf(x: Tensor, count: number): Tensor[] {
  const [, G, S, E] = x.shape as [number, number, number, number]
  return Array.from({ length: G }, (_, g) => {
    const at = offsetOf(x) + g * S * E * itemBytes(x.dtype)
    return bound(bufferOf(x), [count, E], x.dtype, at)
  })
}

/** Writes the values of a bound tensor, wherever in its buffer it lies. */
export const put = (backend: Backend, x: Tensor, values: ArrayBufferView): void =>
  backend.write(bufferOf(x), values, offsetOf(x))
