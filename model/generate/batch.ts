// Several sequences over one model, decoded in one plan: each token reads every weight once for all of
// them. Each has a position, sampling and seed of its own, and is appended to by itself.
import { type Backend, bufferOf, type Prepared, plan, readBound } from "../../engine/index.ts"
import type { Decoder } from "../forward.ts"
import { Holder } from "../weights/holder.ts"
import { checkLost } from "../weights/restore.ts"
import { Sequence } from "./sequence.ts"
import { type Sampling, Session } from "./session.ts"
import {
  allocateStates,
  type CacheOptions,
  recordDecode,
  type SequenceState,
  stateOf,
} from "./state.ts"

export class Batch {
  readonly #decoder: Decoder
  readonly #backend: Backend
  readonly #options: CacheOptions
  readonly #lost: number
  readonly #held: Holder
  readonly #states: SequenceState
  readonly #decode: Prepared
  /** Sessions of the sequences that were ever appended to, for their prompts. */
  readonly #sessions: (Session | undefined)[]
  /** Those whose next token is wanted. */
  readonly #active = new Set<number>()
  /** Where each stands on the device, wanted or not. */
  readonly #at: number[]

  /** `lost`: devices that had been lost before. */
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
      this.#decode = backend.prepare(plan(recordDecode(decoder, this.#states), backend))
    } catch (error) {
      this.#held.free()
      throw error
    }
  }

  get size(): number {
    return this.#at.length
  }

  /** Tokens in the cache of one; of one that was not appended to, or cleared, none. */
  lengthOf(sequence: number): number {
    return this.#active.has(sequence) ? (this.#at[sequence] as number) : 0
  }

  /** Reads tokens into one, whose next token is chosen as `sampling` says: the result. */
  async append(sequence: number, ids: readonly number[], sampling: Sampling): Promise<number> {
    const session = this.#sessionOf(sequence)
    session.begin(sampling, this.#lost)
    const reader = new Sequence(session, undefined, this.lengthOf(sequence))
    const token = (await reader.append(ids, "next")) as number
    this.#at[sequence] = reader.length
    this.#active.add(sequence)
    return token
  }

  /** Reads the token chosen last of all and chooses the next ones; of those that were not appended to, or
   *  cleared, they mean nothing. Throws RangeError where one has no room. */
  async next(): Promise<Int32Array> {
    const { capacity } = this.#options
    for (const sequence of this.#at.keys()) {
      if ((this.#at[sequence] as number) < capacity) continue
      if (this.#active.has(sequence)) {
        throw new RangeError(`the cache of ${capacity} positions of sequence ${sequence} is full`)
      }
      this.#put(sequence, 0)
    }
    await this.#decode.run()
    for (const [sequence, at] of this.#at.entries()) this.#at[sequence] = at + 1
    const tokens = (await readBound(this.#states.token, this.#backend)) as Int32Array
    await checkLost(this.#backend, this.#lost)
    for (const sequence of this.#active) {
      if ((tokens[sequence] as number) >= 0) continue
      throw new Error(`the logits of sequence ${sequence} are not finite, so that no token follows`)
    }
    return tokens
  }

  /** Empties one: its tokens are wanted no longer. */
  clear(sequence: number): void {
    this.#active.delete(sequence)
    this.#put(sequence, 0)
  }

  close(): void {
    for (const session of this.#sessions) session?.close()
    this.#decode.close()
    this.#held.free()
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
