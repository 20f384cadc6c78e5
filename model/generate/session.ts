// One sequence in progress: its key-value cache of fixed capacity, its token, and the recorded plans
// that prefill and decode it. A session serves one generation at a time and is then used again.
import {
  allocate,
  type Backend,
  bufferOf,
  type Plan,
  type Prepared,
  plan,
  readBound,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import { advance, sample } from "../../ops/index.ts"
import type { LayerWeights } from "../architecture.ts"
import { type Decoder, hidden, lastRows, logitsOf } from "../forward.ts"
import type { LayerCache } from "../recorder.ts"
import { Holder } from "../weights/holder.ts"
import { checkLost } from "../weights/restore.ts"

export interface Sampling {
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly seed: number
}

/** How keys and values are kept. In f16, a value beyond ±65504 is kept as that. */
export const cacheDTypes = ["f32", "f16"] as const
/** Types of numbers in a key-value cache. */
export type CacheDType = (typeof cacheDTypes)[number]

/** Sizes of a key-value cache: positions in each layer, and what one number takes. */
export interface CacheOptions {
  readonly capacity: number
  readonly cache: CacheDType
}

/** Memory for keys and values of `capacity` positions in every layer, close to the layer's weights. */
export function allocateCaches(
  { config, weights }: Decoder,
  holder: Holder,
  { batch, capacity, cache }: CacheOptions & { readonly batch: number },
): LayerCache[] {
  return config.keyHeads.map((G, i) => {
    const shape = [batch, G, capacity, config.headDim] // (B, G, S, E)
    const near = firstMatrix(weights.layers[i])
    const [keys, values] = [0, 1].map(() => holder.allocate(shape, cache, near))
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

/** Prefill plans that a session keeps ready, one for each length of a chunk. */
const keptPlans = 3

interface Ready {
  readonly tokens: Tensor
  readonly prepared: Prepared
}

export class Session {
  readonly #decoder: Decoder
  readonly #backend: Backend
  readonly #held: Holder
  readonly #caches: readonly LayerCache[]
  readonly #token: Tensor // i32 (1): the last token chosen, the next to be read
  // Both move on by themselves behind every run that chooses a token.
  readonly #position: Tensor // i32 (1): of the first token that a run reads
  readonly #next: Tensor // i32 (1): of the token that a run chooses
  readonly #controls: Tensor // (3)
  readonly #seed: Tensor // i32 (1)
  readonly #decode: Ready
  /** Prefill plans, the most recently used last. */
  readonly #plans = new Map<string, Ready>()
  #stopped = false
  /** Devices that had been lost when its generation began. */
  #lost = 0
  /** The recorded plan of one decode step. */
  readonly decodePlan: Plan

  constructor(decoder: Decoder, backend: Backend, options: CacheOptions) {
    this.#decoder = decoder
    this.#backend = backend
    const held = new Holder(backend)
    this.#held = held
    try {
      this.#caches = allocateCaches(decoder, held, { batch: 1, ...options })
      this.#token = held.allocate([1], "i32")
      this.#position = held.allocate([1], "i32")
      this.#next = held.allocate([1], "i32")
      this.#controls = held.allocate([3])
      this.#seed = held.allocate([1], "i32")
      this.decodePlan = plan(this.#record(this.#token, true), backend)
      this.#decode = { tokens: this.#token, prepared: backend.prepare(this.decodePlan) }
    } catch (error) {
      held.free()
      throw error
    }
  }

  /** Begins a generation: what it samples by, and how many devices were lost before. */
  begin({ temperature, topK, topP, seed }: Sampling, lost = 0): void {
    this.#lost = lost
    this.#backend.write(bufferOf(this.#controls), Float32Array.of(temperature, topK, topP))
    this.#backend.write(bufferOf(this.#seed), Int32Array.of(seed))
  }

  /** Reads tokens into the cache from `position` on; with `choose`, chooses the one that follows. */
  async prefill(tokens: readonly number[], position: number, choose: boolean): Promise<void> {
    this.check()
    const ready = this.#readyFor(tokens.length, choose)
    this.#backend.write(bufferOf(ready.tokens), Int32Array.from(tokens))
    this.#backend.write(bufferOf(this.#position), Int32Array.of(position))
    this.#backend.write(bufferOf(this.#next), Int32Array.of(position + tokens.length))
    await ready.prepared.run()?.finally(() => this.check())
  }

  /** Reads the chosen token into the cache and chooses the next, whose id is the result. Once a first
   *  step is done, further ones may begin before it is known: nothing but the device orders them. */
  async decode(): Promise<number> {
    this.check()
    const running = this.#decode.prepared.run()
    if (running) await running.finally(() => this.check())
    return this.token()
  }

  /** The token chosen last. Throws DeviceLostError when the cache that it comes from was lost, Error
   *  for logits that are not finite. */
  async token(): Promise<number> {
    this.check()
    const [id] = await readBound(this.#token, this.#backend)
    await checkLost(this.#backend, this.#lost)
    if ((id as number) >= 0) return id as number
    throw new Error(
      "generate: the logits are not finite (NaN, or the largest is infinite), so that no token " +
        "follows. The weights are damaged, or too large for their dtype or the cache's: try f32",
    )
  }

  /** Decode steps that may begin before the result of the first of them is known. */
  get ahead(): number {
    return this.#backend.ahead ?? 0
  }

  /** Ends its generation at the next step. */
  stop(): void {
    this.#stopped = true
  }

  close(): void {
    this.stop()
    for (const key of this.#plans.keys()) this.#drop(key)
    this.#decode.prepared.close()
    this.#held.free()
  }

  /** Throws Error when its model was closed. */
  check(): void {
    if (this.#stopped) throw new Error("the model was closed during this generation")
  }

  #readyFor(count: number, choose: boolean): Ready {
    const key = `${count} ${choose}`
    const known = this.#plans.get(key)
    if (known) {
      this.#plans.delete(key)
      this.#plans.set(key, known)
      return known
    }
    const [oldest] = this.#plans.keys()
    if (this.#plans.size === keptPlans) this.#drop(oldest as string)
    const tokens = allocate(this.#backend, [count], "i32")
    try {
      const recorded = plan(this.#record(tokens, choose), this.#backend)
      const ready = { tokens, prepared: this.#backend.prepare(recorded) }
      this.#plans.set(key, ready)
      return ready
    } catch (error) {
      bufferOf(tokens).free()
      throw error
    }
  }

  #drop(key: string): void {
    const { tokens, prepared } = this.#plans.get(key) as Ready
    prepared.close()
    bufferOf(tokens).free()
    this.#plans.delete(key)
  }

  #record(tokens: Tensor, choose: boolean): Update[] {
    const inputs = { tokens, position: this.#position, caches: this.#caches }
    const { stream, caches, recorder } = hidden(this.#decoder, inputs)
    const updates = cacheUpdates(this.#caches, caches)
    if (!choose) return updates
    const logits = logitsOf(this.#decoder, recorder, lastRows(stream, 1)) // (1, V)
    const token = sample(logits, this.#controls, this.#seed, this.#next) // i32 (1)
    const { last, after } = advance(this.#position, this.#next) // i32 (1), i32 (1)
    return [...updates, [this.#token, token], [this.#position, last], [this.#next, after]]
  }
}
