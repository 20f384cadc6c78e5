// One sequence in progress: its key-value cache of fixed capacity, its token, and the recorded plans
// that prefill and decode it. A session serves one generation at a time and is then used again.
import {
  type Backend,
  type Plan,
  type Prepared,
  plan,
  readBound,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import { argmax, crossEntropy } from "../../ops/index.ts"
import { type Decoder, hidden, logitsOf, rowsAt } from "../forward.ts"
import { Holder } from "../weights/holder.ts"
import { checkLost } from "../weights/restore.ts"
import {
  allocateStates,
  type CacheOptions,
  cacheUpdates,
  choose,
  put,
  recordDecode,
  type SequenceState,
} from "./state.ts"

export interface Sampling {
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly seed: number
}

/** What is wanted of a call: the cache filled; the token that follows; or, of every token but the first,
 *  how likely it was after those before it, and which would have been the likeliest. */
type Want = "nothing" | "next" | "all"

/** Positions that one step reads. Logits of all of them are held only for fewer. */
export const chunkOf: Readonly<Record<Want, number>> = { nothing: 512, next: 512, all: 128 }

/** Plans that a session keeps ready, and positions of all of them: their memory goes by these. */
const keptPlans = 8
const keptPositions = 1536

/** Lengths that plans are recorded for, so that they recur: all up to 64, since padding costs a short
 *  prompt more than a plan does, then sixteen to each doubling. */
export function recurring(count: number): number {
  const step = count <= 64 ? 1 : 2 ** (Math.ceil(Math.log2(count)) - 5)
  return Math.ceil(count / step) * step
}

/** A plan for calls of a length, and what is written before it runs and read after. */
interface Ready {
  readonly tokens: Tensor // i32 (T)
  readonly row: Tensor // i32 (1): the last that is no padding
  readonly targets: Tensor // i32 (T)
  readonly nll: Tensor // (T)
  readonly best: Tensor // i32 (T)
  readonly held: Holder
  readonly prepared: Prepared
}

/** Of each target, the logarithm of its probability, and the likeliest token in its place. */
export interface Scored {
  readonly logProbabilities: Float32Array
  readonly likeliest: Int32Array
}

export class Session {
  readonly #decoder: Decoder
  readonly #backend: Backend
  readonly #capacity: number
  readonly #held: Holder
  readonly #state: SequenceState
  readonly #decode: Prepared
  /** Prefill plans, the most recently used last. */
  readonly #plans = new Map<string, Ready>()
  #stopped = false
  /** Devices that had been lost when its generation began. */
  #lost = 0
  /** The recorded plan of one decode step. */
  readonly decodePlan: Plan

  /** On memory of its own, or with a state among others. */
  constructor(decoder: Decoder, backend: Backend, options: CacheOptions, state?: SequenceState) {
    this.#decoder = decoder
    this.#backend = backend
    this.#capacity = options.capacity
    const held = new Holder(backend)
    this.#held = held
    try {
      this.#state = state ?? allocateStates(decoder, held, 1, options)
      this.decodePlan = plan(recordDecode(decoder, this.#state), backend)
      this.#decode = backend.prepare(this.decodePlan)
    } catch (error) {
      held.free()
      throw error
    }
  }

  /** Begins a generation: what it samples by, and how many devices were lost before. */
  begin({ temperature, topK, topP, seed }: Sampling, lost = 0): void {
    this.#lost = lost
    put(this.#backend, this.#state.controls, Float32Array.of(temperature, topK, topP))
    put(this.#backend, this.#state.seed, Int32Array.of(seed))
  }

  /** Reads tokens into the cache from `position` on, and with "next" chooses the one that follows. What
   *  lies in the cache beyond them is not seen: the next call's tokens take its place. */
  async prefill(tokens: readonly number[], position: number, want: "nothing" | "next") {
    await this.#read(tokens, position, want)
  }

  /** Reads tokens into the cache from `position` on. targets (T): the token after each. */
  async score(tokens: readonly number[], position: number, targets: readonly number[]) {
    const ready = await this.#read(tokens, position, "all", targets)
    const read = async (x: Tensor) => (await readBound(x, this.#backend)).slice(0, tokens.length)
    const nll = (await read(ready.nll)) as Float32Array
    const likeliest = (await read(ready.best)) as Int32Array
    await checkLost(this.#backend, this.#lost)
    return { logProbabilities: nll.map((x) => -x), likeliest } as Scored
  }

  async #read(
    tokens: readonly number[],
    position: number,
    want: Want,
    targets: readonly number[] = [],
  ): Promise<Ready> {
    this.check()
    const count = tokens.length
    const length = recurring(count)
    const ready = this.#readyFor(position + length > this.#capacity ? count : length, want)
    const write = (to: Tensor, values: readonly number[]) =>
      put(this.#backend, to, Int32Array.from(values))
    write(ready.tokens, tokens)
    write(ready.row, [count - 1])
    if (want === "all") write(ready.targets, targets)
    write(this.#state.position, [position])
    write(this.#state.next, [position + count])
    await ready.prepared.run()?.finally(() => this.check())
    return ready
  }

  /** Reads the chosen token into the cache and chooses the next, whose id is the result. Once a first
   *  step is done, further ones may begin before it is known: nothing but the device orders them. */
  async decode(): Promise<number> {
    this.check()
    const running = this.#decode.run()
    if (running) await running.finally(() => this.check())
    return this.token()
  }

  /** The token chosen last. Throws DeviceLostError when the cache that it comes from was lost, Error
   *  for logits that are not finite. */
  async token(): Promise<number> {
    this.check()
    const [id] = await readBound(this.#state.token, this.#backend)
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
    this.#decode.close()
    this.#held.free()
  }

  /** Throws Error when its model was closed. */
  check(): void {
    if (this.#stopped) throw new Error("the model was closed during this generation")
  }

  #readyFor(length: number, want: Want): Ready {
    const key = `${length} ${want}`
    const known = this.#plans.get(key)
    if (known) {
      this.#plans.delete(key)
      this.#plans.set(key, known)
      return known
    }
    const kept = () => [...this.#plans.values()].reduce((sum, { tokens }) => sum + tokens.size, 0)
    while (
      this.#plans.size >= keptPlans ||
      (this.#plans.size > 0 && kept() + length > keptPositions)
    ) {
      this.#drop([...this.#plans.keys()][0] as string)
    }
    const held = new Holder(this.#backend)
    try {
      const [tokens, targets, best] = [0, 1, 2].map(() => held.allocate([length], "i32")) as Three
      const row = held.allocate([1], "i32")
      const parts = { tokens, targets, best, row, nll: held.allocate([length]) }
      const recorded = plan(this.#record(parts, want), this.#backend)
      const ready = { ...parts, held, prepared: this.#backend.prepare(recorded) }
      this.#plans.set(key, ready)
      return ready
    } catch (error) {
      held.free()
      throw error
    }
  }

  #drop(key: string): void {
    const { held, prepared } = this.#plans.get(key) as Ready
    prepared.close()
    held.free()
    this.#plans.delete(key)
  }

  #record({ tokens, row, targets, nll, best }: Omit<Ready, "held" | "prepared">, want: Want) {
    const { caches: before, position } = this.#state
    const { stream, caches, recorder } = hidden(this.#decoder, { tokens, position, caches: before })
    const updates = cacheUpdates(before, caches)
    if (want === "nothing") return updates
    if (want === "next") {
      return [...updates, ...choose(this.#decoder, recorder, rowsAt(stream, row), this.#state)]
    }
    const logits = logitsOf(this.#decoder, recorder, stream) // (T, V)
    const losses = crossEntropy(logits, targets, { smoothing: 0 }) // (T) each
    return [...updates, [nll, losses.nll], [best, argmax(logits)]] as Update[]
  }
}

type Three = [Tensor, Tensor, Tensor]
