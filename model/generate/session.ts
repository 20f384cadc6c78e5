// One sequence in progress: its key-value cache of fixed capacity, its token, and the recorded plans
// that prefill and decode it. A session serves one generation at a time and is then used again.
import {
  type Backend,
  type Plan,
  type Prepared,
  plan,
  readBound,
  type Tensor,
} from "../../engine/index.ts"
import type { Decoder } from "../forward.ts"
import { Holder } from "../weights/holder.ts"
import { checkLost } from "../weights/restore.ts"
import { type Prefill, Prefills, recurring, type Scored, scoredBy, type Want } from "./prefill.ts"
import { anglesOf, type Overflow, recordSlide } from "./slide.ts"
import {
  allocateStates,
  type CacheOptions,
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

/** The likeliest token; for what chooses none, too. */
export const greedySampling: Sampling = { temperature: 0, topK: 0, topP: 1, seed: 0 }

/** A cache, and to which length a prompt is padded, so that plans recur. */
export interface SessionOptions extends CacheOptions {
  readonly padded?: (count: number) => number
}

export class Session {
  readonly #decoder: Decoder
  readonly #backend: Backend
  readonly capacity: number
  readonly #padded: (count: number) => number
  readonly #held: Holder
  readonly #state: SequenceState
  readonly #prefills: Prefills
  #decodePlan: Plan | undefined
  #decode: Prepared | undefined
  #stopped = false
  /** Devices that had been lost when its generation began. */
  #lost = 0
  #positions = 0
  /** Of its sequence, tokens that slides have dropped. */
  dropped = 0
  readonly #slides = new Map<number, Prepared>()

  /** On memory of its own, or with a state among others. */
  constructor(decoder: Decoder, backend: Backend, options: SessionOptions, state?: SequenceState) {
    this.#decoder = decoder
    this.#backend = backend
    this.capacity = options.capacity
    this.#padded = options.padded ?? recurring
    this.#held = new Holder(backend)
    try {
      this.#state = state ?? allocateStates(decoder, this.#held, 1, options)
    } catch (error) {
      this.#held.free()
      throw error
    }
    this.#prefills = new Prefills(decoder, backend, this.#state)
  }

  /** The recorded plan of one decode step. */
  get decodePlan(): Plan {
    this.#decodePlan ??= plan(recordDecode(this.#decoder, this.#state), this.#backend)
    return this.#decodePlan
  }

  /** Keys and values in its cache, by layer. */
  get caches(): SequenceState["caches"] {
    return this.#state.caches
  }

  /** Positions that it has read so far. */
  get positions(): number {
    return this.#positions
  }

  /** Memory of its cache, where that is its own, and of its plans. */
  get bytes(): number {
    const decode = this.#decode ? this.decodePlan.arenaBytes : 0
    return this.#held.bytes + this.#prefills.bytes + decode
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
  async score(
    tokens: readonly number[],
    position: number,
    targets: readonly number[],
  ): Promise<Scored> {
    const { scores } = await this.#read(tokens, position, "scores", targets)
    const ends = scores as NonNullable<Prefill["scores"]>
    const scored = await scoredBy(ends, targets.length, this.#backend)
    await checkLost(this.#backend, this.#lost)
    return scored
  }

  /** Reads tokens into the cache from `position` on. The logits after the last, (1, V), or after each,
   *  (T, V). */
  async logits(
    tokens: readonly number[],
    position: number,
    want: "row" | "rows",
  ): Promise<Float32Array> {
    const { logits } = await this.#read(tokens, position, want)
    const values = (await readBound(logits as Tensor, this.#backend)) as Float32Array
    await checkLost(this.#backend, this.#lost)
    return want === "row"
      ? values
      : values.subarray(0, tokens.length * this.#decoder.config.vocabSize)
  }

  async #read(
    tokens: readonly number[],
    position: number,
    want: Want,
    targets: readonly number[] = [],
  ): Promise<Prefill> {
    this.check()
    const count = tokens.length
    const padded = this.#padded(count)
    const length = position + padded > this.capacity ? count : padded
    const prefill = this.#prefills.of(length, want, length)
    const { row, scores } = prefill
    const write = (to: Tensor, values: readonly number[]) =>
      put(this.#backend, to, Int32Array.from(values))
    write(prefill.tokens, tokens)
    if (row) write(row, [count - 1])
    if (scores) write(scores.targets, targets)
    write(this.#state.position, [position])
    write(this.#state.next, [position + count])
    this.#positions += count
    await prefill.prepared.run()?.finally(() => this.check())
    return prefill
  }

  /** Makes ready what reads so many tokens. */
  prepareRead(count: number, want: "nothing" | "next"): void {
    this.#prefills.of(count, want, count)
  }

  /** Makes the decode step ready before it is needed. */
  prepareDecode(): Prepared {
    this.#decode ??= this.#backend.prepare(this.decodePlan)
    return this.#decode
  }

  /** Drops tokens of a full cache, of which fewer are left then; the next token that is read goes
   *  after them. Where several steps may begin at once, it has begun when this returns. */
  slide(overflow: Overflow): Promise<void> {
    this.check()
    const { keep, drop } = overflow
    let slide = this.#slides.get(keep)
    if (!slide) {
      const { weights, config } = this.#decoder
      const updates = recordSlide(this.#state, anglesOf(weights, config), overflow)
      slide = this.#backend.prepare(plan(updates, this.#backend))
      this.#slides.set(keep, slide)
    }
    const running = slide.run()
    this.dropped += drop
    const length = this.capacity - drop
    put(this.#backend, this.#state.position, Int32Array.of(length))
    put(this.#backend, this.#state.next, Int32Array.of(length + 1))
    return Promise.resolve(running).finally(() => this.check())
  }

  /** Reads the chosen token into the cache and chooses the next, whose id is the result. Once a first
   *  step is done, further ones may begin before it is known: nothing but the device orders them. */
  async decode(): Promise<number> {
    this.check()
    this.#positions++
    const running = this.prepareDecode().run()
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
    throw notFinite()
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
    this.#prefills.close()
    this.#decode?.close()
    for (const slide of this.#slides.values()) slide.close()
    this.#held.free()
  }

  /** Throws Error when its model was closed. */
  check(): void {
    checkRunning(!this.#stopped)
  }
}

/** Throws Error for what was stopped. */
export function checkRunning(isRunning: boolean): void {
  if (!isRunning) throw new Error("the model or its adapter was closed during this generation")
}

/** The error of logits of which no token follows. */
export const notFinite = (): Error =>
  new Error(
    "generate: the logits are not finite (NaN, or the largest is infinite), so that no token " +
      "follows. The weights are damaged, or too large for their dtype or the cache's: try f32",
  )
