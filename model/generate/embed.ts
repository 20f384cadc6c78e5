// Texts as vectors: the hidden states after the last norm, of all tokens of a text or of its last one.
import { bufferOf, checkObject, readBound, runOnce, type Tensor } from "../../engine/index.ts"
import { cast } from "../../ops/index.ts"
import type { DecoderConfig } from "../architecture.ts"
import { architectureOf } from "../architectures/index.ts"
import { hidden } from "../forward.ts"
import { show } from "../json.ts"
import { normed } from "../recorder.ts"
import { Holder } from "../weights/holder.ts"
import { ContextLengthError, checkToken } from "./ids.ts"
import type { Source } from "./source.ts"
import { allocateCaches, cacheUpdates } from "./state.ts"
import { nextTurn } from "./turn.ts"

/** How a text becomes a vector. */
export interface EmbedOptions {
  /** "mean", the default, of the states of all of its tokens, or "last", that of the last. */
  readonly pooling?: "mean" | "last"
  /** Whether vectors are made of length 1; default false. */
  readonly normalize?: boolean
  /** Ends it by throwing the signal's reason. */
  readonly signal?: AbortSignal
}

/** Positions that are read at a time, of several texts; one that is longer is read alone. */
const mostPositions = 2048

/** A vector of D numbers for each text, as many as the output product takes, read so many positions at a time at
 *  `most`. Throws RangeError for texts of no tokens or beyond the context. */
export async function embeddingsOf(
  source: Pick<Source, "decoder" | "backend" | "options">,
  texts: readonly (readonly number[])[],
  options: EmbedOptions,
  most = mostPositions,
): Promise<Float32Array[]> {
  const { pooling = "mean", normalize = false, signal } = checked(options)
  for (const ids of texts) checkText(ids, source.decoder.config)
  const vectors: Float32Array[] = []
  for (const batch of batchesOf(texts, most)) {
    await nextTurn()
    signal?.throwIfAborted()
    const rows = batch.map((i) => texts[i] as readonly number[])
    const states = await statesOf(source, rows)
    for (const [n, i] of batch.entries()) {
      const count = (rows[n] as readonly number[]).length
      const [from, tokens] = pooling === "last" ? [count - 1, 1] : [0, count]
      vectors[i] = pooled(states, n, from, tokens, normalize)
    }
  }
  return vectors
}

function checked(options: EmbedOptions): EmbedOptions {
  checkObject("embed: options", options)
  const { pooling = "mean", normalize = false, signal } = options
  if (pooling !== "mean" && pooling !== "last") {
    throw new RangeError(`embed: pooling is ${show(pooling)}, expected "mean" or "last"`)
  }
  if (typeof normalize !== "boolean") {
    throw new TypeError(`embed: normalize is ${show(normalize)}, expected true or false`)
  }
  if (signal === undefined || signal instanceof AbortSignal) return options
  throw new TypeError("embed: signal must be an AbortSignal")
}

function checkText(ids: readonly number[], config: DecoderConfig): void {
  if (ids.length === 0) throw new RangeError("embed: a text of no tokens has no vector")
  const { maxContext } = config
  if (ids.length > maxContext) {
    throw new ContextLengthError(
      `embed: a text of ${ids.length} tokens exceeds the context of ${maxContext}. Shorten it`,
      { promptTokens: ids.length, context: maxContext },
    )
  }
  for (const id of ids) checkToken(id, config, "embed: ")
}

/** Places of texts that are read side by side: those of nearly one length. */
function batchesOf(texts: readonly (readonly number[])[], most: number): number[][] {
  const lengthOf = (i: number): number => (texts[i] as readonly number[]).length
  const order = texts.map((_, i) => i).sort((a, b) => lengthOf(b) - lengthOf(a))
  const batches: number[][] = []
  for (let at = 0; at < order.length; ) {
    const room = Math.max(1, Math.floor(most / lengthOf(order[at] as number)))
    batches.push(order.slice(at, at + room))
    at += room
  }
  return batches
}

interface States {
  readonly values: Float32Array // (B, T, D)
  readonly T: number
  readonly D: number
}

/** States after the last norm. Behind a shorter text is padding, which no token before it sees. */
async function statesOf(
  { decoder, backend, options: { cache } }: Pick<Source, "decoder" | "backend" | "options">,
  rows: readonly (readonly number[])[],
): Promise<States> {
  const { config, weights } = decoder
  const [B, T] = [rows.length, Math.max(...rows.map(({ length }) => length))]
  const ids = new Int32Array(B * T)
  for (const [b, row] of rows.entries()) ids.set(row, b * T)
  const held = new Holder(backend)
  try {
    const caches = allocateCaches(decoder, held, { batch: B, capacity: T, cache })
    const [tokens, position] = [held.allocate([B * T], "i32"), held.allocate([B], "i32")]
    backend.write(bufferOf(tokens), ids)
    const result = hidden(decoder, { tokens, position, caches })
    const { stream, recorder } = result
    const { x, norm } = architectureOf(config).head(config, weights, stream, recorder)
    const states: Tensor = cast(normed(x, norm).a, "f32") // (B·T, D)
    const target = held.allocate(states.shape)
    await runOnce(backend, [[target, states], ...cacheUpdates(caches, result.caches)])
    return { values: (await readBound(target, backend)) as Float32Array, T, D: target.size / B / T }
  } finally {
    held.free()
  }
}

/** The mean of some tokens' states of a text, summed in f64. */
function pooled(
  { values, T, D }: States,
  text: number,
  from: number,
  tokens: number,
  normalize: boolean,
): Float32Array {
  const sums = new Float64Array(D)
  for (let t = from; t < from + tokens; t++) {
    const at = (text * T + t) * D
    for (let i = 0; i < D; i++) sums[i] = (sums[i] as number) + (values[at + i] as number)
  }
  const length = normalize ? Math.sqrt(sums.reduce((sum, x) => sum + x * x, 0)) : tokens
  return Float32Array.from(sums, (x) => x / (length || 1))
}
