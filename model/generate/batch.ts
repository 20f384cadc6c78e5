// Several sequences over one model, decoded in one plan: each token reads every weight once for all of
// them. Each has a position, sampling and seed of its own, and is appended to by itself. Tokens are
// chosen on the device, or by whoever is given the logits.
import { type Backend, bufferOf, plan, readBound, type Tensor } from "../../engine/index.ts"
import type { Decoder } from "../forward.ts"
import { Holder } from "../weights/holder.ts"
import { checkLost } from "../weights/restore.ts"
import { type Act, type Ready, recordAct } from "./batch_acts.ts"
import { Sequence } from "./sequence.ts"
import {
  checkRunning,
  greedySampling,
  type Sampling,
  Session,
  type SessionOptions,
} from "./session.ts"
import { allocateStates, put, type SequenceState, stateOf } from "./state.ts"

/** What a step of several sequences gives; of those that are not wanted, it means nothing. */
interface Stepped {
  readonly tokens: Int32Array // (width), below 0 where none follows
  readonly logits: Float32Array | undefined // (width, V)
}

export class Batch {
  readonly #decoder: Decoder
  readonly #backend: Backend
  readonly #options: SessionOptions
  readonly #held: Holder
  readonly #states: SequenceState
  /** Made when first asked for. */
  readonly #plans = new Map<string, Ready>()
  /** Sessions of the sequences that were ever appended to, for their prompts, by the routes that these went
   *  through. */
  readonly #sessions = new Map<string, Session>()
  /** Which of the decoder's adapters each goes through, if there are several. */
  readonly #routes: number[]
  /** Those whose next token is wanted. */
  readonly #active = new Set<number>()
  /** Those of which no token is wanted now, and how much of their caches is to stay as it is. */
  readonly #resting = new Map<number, number>()
  /** Where each stands on the device, wanted or not. */
  readonly #at: number[]
  /** Devices that had been lost before. */
  #lost: number
  #stopped = false

  constructor(decoder: Decoder, backend: Backend, size: number, options: SessionOptions, lost = 0) {
    if (!Number.isInteger(size) || size < 1) {
      throw new RangeError(`a batch is of a whole number of sequences from 1, got ${size}`)
    }
    this.#decoder = decoder
    this.#backend = backend
    this.#options = options
    this.#lost = lost
    this.#held = new Holder(backend)
    this.#routes = Array(size).fill(0)
    this.#at = Array(size).fill(0)
    try {
      this.#states = allocateStates(decoder, this.#held, size, options)
    } catch (error) {
      this.#held.free()
      throw error
    }
  }

  get size(): number {
    return this.#at.length
  }

  /** Memory of its caches and of its plans. */
  get bytes(): number {
    const sessions = [...this.#sessions.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    const plans = [...this.#plans.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    return this.#held.bytes + sessions + plans
  }

  /** Tokens in the cache of one; of one that was not appended to, or cleared, none. */
  lengthOf(sequence: number): number {
    if (this.#active.has(sequence)) return this.#at[sequence] as number
    return this.#resting.get(sequence) ?? 0
  }

  /** Empties all. `lost`: devices that have been lost by now. */
  begin(lost: number): void {
    this.#lost = lost
    for (const sequence of this.#at.keys()) this.clear(sequence)
  }

  /** Has one that is to be read into go through an adapter of the decoder, by its place among them. */
  through(sequence: number, route: number): void {
    this.#routes[sequence] = route
    this.#backend.write(bufferOf(this.#states.route), Int32Array.of(route), 4 * sequence)
  }

  /** Reads tokens into one, whose next token is chosen as `sampling` says: the result. */
  async append(sequence: number, ids: readonly number[], sampling: Sampling): Promise<number> {
    const reader = this.#readerOf(sequence, sampling)
    const token = (await reader.append(ids, "next")) as number
    this.#at[sequence] = reader.length
    this.#wake(sequence)
    return token
  }

  /** Reads tokens into one, of which no next one is wanted yet. */
  async prefill(sequence: number, ids: readonly number[]): Promise<void> {
    const reader = this.#readerOf(sequence, greedySampling)
    await reader.append(ids, "nothing")
    this.rest(sequence, reader.length)
  }

  /** Reads tokens into one: the logits after the last, (V). */
  async read(sequence: number, ids: readonly number[]): Promise<Float32Array> {
    const reader = this.#readerOf(sequence, greedySampling)
    const row = await reader.logits(ids, "row")
    // The device moves on by itself only where it chooses a token.
    this.#put(sequence, reader.length)
    this.#wake(sequence)
    return row
  }

  /** Makes the token that is read next that of whoever was given the logits. */
  choose(sequence: number, token: number): void {
    const { token: tokens } = this.#states
    this.#backend.write(bufferOf(tokens), Int32Array.of(token), 4 * sequence)
  }

  /** What the first `width` sequences are read to, and of each the token that its sampling chooses; their
   *  logits, if asked for, are for others to choose by. */
  async step(width: number, wantsLogits: boolean): Promise<Stepped> {
    const { logits } = await this.#step(wantsLogits ? "both" : "token", width)
    const all = (await readBound(this.#states.token, this.#backend)) as Int32Array
    const rows = logits && ((await readBound(logits, this.#backend)) as Float32Array)
    await checkLost(this.#backend, this.#lost)
    return { tokens: all.subarray(0, width), logits: rows }
  }

  /** Makes ready what a step of so many sequences needs. */
  prepareStep(width: number): void {
    this.#planOf("token", width)
  }

  /** Makes ready what reads so many tokens into a sequence. */
  prepareRead(sequence: number, count: number, want: "nothing" | "next"): void {
    this.#sessionOf(sequence).prepareRead(count, want)
  }

  /** Reads the token chosen last of all and chooses the next ones; of those that were not appended to, or
   *  cleared, they mean nothing. Throws RangeError where one has no room. */
  async next(): Promise<Int32Array> {
    const { tokens } = await this.step(this.size, false)
    for (const sequence of this.#active) {
      if ((tokens[sequence] as number) >= 0) continue
      throw new Error(`the logits of sequence ${sequence} are not finite, so that no token follows`)
    }
    return tokens
  }

  /** Reads a token of each: the logits after them, (B, V); of those that are not wanted, they mean
   *  nothing. */
  async logits(tokens: Int32Array): Promise<Float32Array> {
    put(this.#backend, this.#states.token, tokens)
    const { logits } = await this.#step("logits")
    const rows = (await readBound(logits as Tensor, this.#backend)) as Float32Array
    await checkLost(this.#backend, this.#lost)
    return rows
  }

  /** Makes the first `length` tokens of one those of another. */
  async share(from: number, to: number, length: number): Promise<void> {
    this.check()
    const { prepared, given } = this.#planOf("share", to)
    put(this.#backend, given as Tensor, Int32Array.of(from))
    await prepared.run()?.finally(() => this.check())
    this.rest(to, length)
  }

  /** Makes each sequence a copy of sequence from[i], as it is now. */
  async copy(from: Int32Array): Promise<void> {
    this.check()
    const lengths = [...from].map((sequence) => this.lengthOf(sequence))
    if (from.some((sequence, i) => sequence !== i)) {
      const { prepared, given } = this.#planOf("copy")
      put(this.#backend, given as Tensor, from)
      await prepared.run()?.finally(() => this.check())
    }
    for (const [sequence, length] of lengths.entries()) {
      this.#put(sequence, length)
      this.#wake(sequence)
    }
  }

  /** Empties one: its tokens are wanted no longer. */
  clear(sequence: number): void {
    this.#active.delete(sequence)
    this.#resting.delete(sequence)
    this.#put(sequence, 0)
  }

  /** Wants no token of one until it is read into again; its first `length` tokens stay, but for the last
   *  place of a cache, where steps of others write. */
  rest(sequence: number, length: number): void {
    this.#active.delete(sequence)
    this.#resting.set(sequence, Math.min(length, this.#options.capacity - 1))
  }

  /** Ends what is under way at its next step. */
  stop(): void {
    this.#stopped = true
    for (const session of this.#sessions.values()) session.stop()
  }

  close(): void {
    this.stop()
    for (const session of this.#sessions.values()) session.close()
    for (const { prepared, held } of this.#plans.values()) {
      prepared.close()
      held.free()
    }
    this.#held.free()
  }

  /** Throws Error when its model was closed. */
  check(): void {
    checkRunning(!this.#stopped)
  }

  async #step(act: Act, width = this.size): Promise<Ready> {
    this.check()
    const { capacity } = this.#options
    // Whoever is among them is read to; what is written is behind what stays.
    for (const [sequence, length] of this.#resting) {
      if (sequence < width) this.#put(sequence, length)
    }
    for (let sequence = 0; sequence < width; sequence++) {
      if ((this.#at[sequence] as number) < capacity) continue
      if (this.#active.has(sequence)) {
        throw new RangeError(`the cache of ${capacity} positions of sequence ${sequence} is full`)
      }
      this.#put(sequence, 0)
    }
    const ready = this.#planOf(act, width)
    await ready.prepared.run()?.finally(() => this.check())
    for (let sequence = 0; sequence < width; sequence++) {
      this.#at[sequence] = (this.#at[sequence] as number) + 1
    }
    return ready
  }

  /** Of the first `of` sequences, or of the one that is copied to. */
  #planOf(act: Act, of = this.size): Ready {
    const name = `${act} ${of}`
    const known = this.#plans.get(name)
    if (known) return known
    const held = new Holder(this.#backend)
    try {
      const how = { decoder: this.#decoder, states: this.#states, size: this.size }
      const { updates, logits, given } = recordAct(act, of, how, held)
      const recorded = plan(updates, this.#backend)
      const bytes = held.bytes + recorded.arenaBytes
      const ready = { held, given, logits, bytes, prepared: this.#backend.prepare(recorded) }
      this.#plans.set(name, ready)
      return ready
    } catch (error) {
      held.free()
      throw error
    }
  }

  #readerOf(sequence: number, sampling: Sampling): Sequence {
    const session = this.#sessionOf(sequence)
    session.begin(sampling, this.#lost)
    return new Sequence(session, { length: this.lengthOf(sequence) })
  }

  #wake(sequence: number): void {
    this.#resting.delete(sequence)
    this.#active.add(sequence)
  }

  #put(sequence: number, at: number): void {
    this.#at[sequence] = at
    this.#backend.write(bufferOf(this.#states.position), Int32Array.of(at), 4 * sequence)
    this.#backend.write(bufferOf(this.#states.next), Int32Array.of(at + 1), 4 * sequence)
  }

  #sessionOf(sequence: number): Session {
    const route = this.#routes[sequence] ?? 0
    const known = this.#sessions.get(`${sequence} ${route}`)
    if (known) return known
    if (!(sequence in this.#at)) {
      throw new RangeError(`no sequence ${sequence} in a batch of ${this.size}`)
    }
    const state = stateOf(this.#states, sequence)
    const decoder = this.#decoder.routes?.[route] ?? this.#decoder
    const session = new Session(decoder, this.#backend, this.#options, state)
    this.#sessions.set(`${sequence} ${route}`, session)
    return session
  }
}
