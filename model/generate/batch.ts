// Several sequences over one model, decoded in one plan: each token reads every weight once for all of
// them. Each has a position, sampling and seed of its own, and is appended to by itself. Tokens are
// chosen on the device, or by whoever is given the logits.
import {
  type Backend,
  bufferOf,
  type Prepared,
  plan,
  readBound,
  type Tensor,
} from "../../engine/index.ts"
import type { Decoder } from "../forward.ts"
import { Holder } from "../weights/holder.ts"
import { checkLost } from "../weights/restore.ts"
import { Sequence } from "./sequence.ts"
import { checkRunning, greedySampling, type Sampling, Session } from "./session.ts"
import {
  allocateStates,
  type CacheOptions,
  put,
  recordCopies,
  recordDecode,
  type SequenceState,
  stateOf,
} from "./state.ts"

export class Batch {
  readonly #decoder: Decoder
  readonly #backend: Backend
  readonly #options: CacheOptions
  readonly #held: Holder
  readonly #states: SequenceState
  /** Made when first asked for. */
  readonly #plans = new Map<Act, Ready>()
  /** Sessions of the sequences that were ever appended to, for their prompts. */
  readonly #sessions: (Session | undefined)[]
  /** Those whose next token is wanted. */
  readonly #active = new Set<number>()
  /** Where each stands on the device, wanted or not. */
  readonly #at: number[]
  /** Devices that had been lost before. */
  #lost: number
  #stopped = false

  constructor(decoder: Decoder, backend: Backend, size: number, options: CacheOptions, lost = 0) {
    if (!Number.isInteger(size) || size < 1) {
      throw new RangeError(`a batch is of a whole number of sequences from 1, got ${size}`)
    }
    this.#decoder = decoder
    this.#backend = backend
    this.#options = options
    this.#lost = lost
    this.#held = new Holder(backend)
    this.#sessions = Array(size).fill(undefined)
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
    const sessions = this.#sessions.reduce((sum, session) => sum + (session?.bytes ?? 0), 0)
    const plans = [...this.#plans.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    return this.#held.bytes + sessions + plans
  }

  /** Tokens in the cache of one; of one that was not appended to, or cleared, none. */
  lengthOf(sequence: number): number {
    return this.#active.has(sequence) ? (this.#at[sequence] as number) : 0
  }

  /** Empties all. `lost`: devices that have been lost by now. */
  begin(lost: number): void {
    this.#lost = lost
    for (const sequence of this.#at.keys()) this.clear(sequence)
  }

  /** Reads tokens into one, whose next token is chosen as `sampling` says: the result. */
  async append(sequence: number, ids: readonly number[], sampling: Sampling): Promise<number> {
    const reader = this.#readerOf(sequence, sampling)
    const token = (await reader.append(ids, "next")) as number
    this.#at[sequence] = reader.length
    this.#active.add(sequence)
    return token
  }

  /** Reads tokens into one: the logits after the last, (V). */
  async read(sequence: number, ids: readonly number[]): Promise<Float32Array> {
    const reader = this.#readerOf(sequence, greedySampling)
    const row = await reader.logits(ids, "row")
    // The device moves on by itself only where it chooses a token.
    this.#put(sequence, reader.length)
    this.#active.add(sequence)
    return row
  }

  /** Reads the token chosen last of all and chooses the next ones; of those that were not appended to, or
   *  cleared, they mean nothing. Throws RangeError where one has no room. */
  async next(): Promise<Int32Array> {
    await this.#step("token")
    const tokens = (await readBound(this.#states.token, this.#backend)) as Int32Array
    await checkLost(this.#backend, this.#lost)
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
      this.#active.add(sequence)
    }
  }

  /** Empties one: its tokens are wanted no longer. */
  clear(sequence: number): void {
    this.#active.delete(sequence)
    this.#put(sequence, 0)
  }

  /** Ends what is under way at its next step. */
  stop(): void {
    this.#stopped = true
    for (const session of this.#sessions) session?.stop()
  }

  close(): void {
    this.stop()
    for (const session of this.#sessions) session?.close()
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

  async #step(act: Act): Promise<Ready> {
    this.check()
    const { capacity } = this.#options
    for (const sequence of this.#at.keys()) {
      if ((this.#at[sequence] as number) < capacity) continue
      if (this.#active.has(sequence)) {
        throw new RangeError(`the cache of ${capacity} positions of sequence ${sequence} is full`)
      }
      this.#put(sequence, 0)
    }
    const ready = this.#planOf(act)
    await ready.prepared.run()?.finally(() => this.check())
    for (const [sequence, at] of this.#at.entries()) this.#at[sequence] = at + 1
    return ready
  }

  #planOf(act: Act): Ready {
    const known = this.#plans.get(act)
    if (known) return known
    const held = new Holder(this.#backend)
    try {
      const [B, V] = [this.size, this.#decoder.config.vocabSize]
      const logits = act === "logits" ? held.allocate([B, V]) : undefined
      const given = act === "copy" ? held.allocate([B], "i32") : undefined
      const updates = given
        ? recordCopies(this.#states, given)
        : recordDecode(this.#decoder, this.#states, logits)
      const recorded = plan(updates, this.#backend)
      const bytes = held.bytes + recorded.arenaBytes
      const ready = { held, given, logits, bytes, prepared: this.#backend.prepare(recorded) }
      this.#plans.set(act, ready)
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

  #put(sequence: number, at: number): void {
    this.#at[sequence] = at
    this.#backend.write(bufferOf(this.#states.position), Int32Array.of(at), 4 * sequence)
    this.#backend.write(bufferOf(this.#states.next), Int32Array.of(at + 1), 4 * sequence)
  }

  #sessionOf(sequence: number): Session {
    const known = this.#sessions[sequence]
    if (known) return known
    if (!(sequence in this.#at)) {
      throw new RangeError(`no sequence ${sequence} in a batch of ${this.size}`)
    }
    const state = stateOf(this.#states, sequence)
    const session = new Session(this.#decoder, this.#backend, this.#options, state)
    this.#sessions[sequence] = session
    return session
  }
}

/** Reads a token of every sequence and chooses the next ones, or gives their logits; or copies caches. */
type Act = "token" | "logits" | "copy"

/** A plan, and what is written before it runs or read after. */
interface Ready {
  readonly prepared: Prepared
  readonly held: Holder
  readonly given: Tensor | undefined // i32 (B)
  readonly logits: Tensor | undefined // (B, V)
  /** Memory that it takes. */
  readonly bytes: number
}
