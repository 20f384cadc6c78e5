// Sequences that are read side by side in one plan, each into a cache of its own, of which nothing is
// wanted but how likely tokens are: what each holds, and the steps that read on.
import { type Backend, type Prepared, plan, type Tensor } from "../../engine/index.ts"
import type { Decoder } from "../forward.ts"
import { Holder } from "../weights/holder.ts"
import { checkLost } from "../weights/restore.ts"
import type { Wanted } from "./passes.ts"
import { Prefills, recurringTargets, type Scored, scoredBy } from "./prefill.ts"
import { checkRunning } from "./session.ts"
import {
  allocateStates,
  type CacheOptions,
  put,
  recordCopies,
  type SequenceState,
  statesOf,
} from "./state.ts"

/** Tokens start … end − 1 of a text, after those before them, and what is wanted of them. */
export interface Chunk {
  readonly ids: readonly number[]
  readonly start: number
  readonly end: number
  readonly wanted: readonly Wanted[]
}

/** What the first lanes read at a time, each of them T positions: after a shorter chunk comes padding,
 *  which nothing before it sees. */
export interface LaneStep {
  readonly T: number
  readonly chunks: readonly (Chunk | undefined)[]
}

interface Memory {
  readonly held: Holder
  readonly states: SequenceState
  readonly prefills: Prefills
}

interface Copies {
  readonly prepared: Prepared
  readonly held: Holder
  readonly from: Tensor // i32 (B)
  readonly bytes: number
}

export class Lanes {
  readonly #decoder: Decoder
  readonly #backend: Backend
  readonly capacity: number
  readonly #cache: CacheOptions["cache"]
  #memory: Memory | undefined
  #copies: Copies | undefined
  /** Tokens in the cache of each. */
  #read: (readonly number[])[] = []
  /** Of which weights, and on which device. */
  #writes = 0
  #lost = 0
  #stopped = false

  constructor(decoder: Decoder, backend: Backend, { capacity, cache }: CacheOptions) {
    this.#decoder = decoder
    this.#backend = backend
    this.capacity = capacity
    this.#cache = cache
  }

  get width(): number {
    return this.#read.length
  }

  /** Memory of its caches and of its plans. */
  get bytes(): number {
    const { held, prefills } = this.#memory ?? {}
    return (held?.bytes ?? 0) + (prefills?.bytes ?? 0) + (this.#copies?.bytes ?? 0)
  }

  /** Makes it at least so many lanes; where these are more than before, all are empty. */
  widen(width: number): void {
    if (width <= this.width) return
    this.#free()
    const held = new Holder(this.#backend)
    try {
      const { capacity } = this
      const states = allocateStates(this.#decoder, held, width, { capacity, cache: this.#cache })
      const prefills = new Prefills(this.#decoder, this.#backend, states)
      this.#memory = { held, states, prefills }
      this.#read = Array(width).fill([])
    } catch (error) {
      held.free()
      throw error
    }
  }

  /** Tokens in the cache of one. */
  read(lane: number): readonly number[] {
    return this.#read[lane] as readonly number[]
  }

  /** What was read with other weights, or lost with a device, is not there. */
  begin(writes: number, lost: number): void {
    if (writes === this.#writes && lost === this.#lost) return
    this.#read.fill([])
    this.#writes = writes
    this.#lost = lost
  }

  /** Reads chunks, each into the lane of its number: what is wanted of them, in their order. */
  async step({ T, chunks }: LaneStep): Promise<Scored | undefined> {
    this.check()
    const width = chunks.length
    const tokens = new Int32Array(width * T)
    const position = new Int32Array(width)
    const rows: number[] = []
    const targets: number[] = []
    for (const [lane, chunk] of chunks.entries()) {
      const read = this.read(lane)
      // One that has nothing to read keeps what it can.
      const start = chunk?.start ?? Math.min(read.length, this.capacity - T)
      position[lane] = start
      this.#read[lane] = read.slice(0, start)
      if (!chunk) continue
      tokens.set(chunk.ids.slice(start, chunk.end), lane * T)
      for (const { row, target } of chunk.wanted) {
        rows.push(lane * T + row - start)
        targets.push(target)
      }
    }
    const scored = await this.#run(tokens, position, rows, targets)
    for (const [lane, chunk] of chunks.entries()) {
      if (chunk) this.#read[lane] = chunk.ids.slice(0, chunk.end)
    }
    return scored
  }

  /** Makes each a copy of lane from[i], as it is now. */
  async copy(from: readonly number[]): Promise<void> {
    this.check()
    this.#copies ??= this.#recordCopies()
    const { prepared, from: given } = this.#copies
    const read = from.map((lane) => this.read(lane))
    this.#read.fill([])
    put(this.#backend, given, Int32Array.from(from))
    await prepared.run()?.finally(() => this.check())
    await checkLost(this.#backend, this.#lost)
    this.#read.splice(0, read.length, ...read)
  }

  /** Ends what is under way at its next step. */
  stop(): void {
    this.#stopped = true
  }

  close(): void {
    this.stop()
    this.#free()
  }

  /** Throws Error when its model was closed. */
  check(): void {
    checkRunning(!this.#stopped)
  }

  /** tokens (B·T), position (B); rows and targets (R) */
  async #run(
    tokens: Int32Array,
    position: Int32Array,
    rows: readonly number[],
    targets: readonly number[],
  ): Promise<Scored | undefined> {
    const want = targets.length > 0 ? "targets" : "nothing"
    const { states, prefills } = this.#memory as Memory
    const state = statesOf(states, 0, position.length)
    const count = recurringTargets(targets.length)
    const prefill = prefills.of(tokens.length, want, count, state)
    put(this.#backend, prefill.tokens, tokens)
    put(this.#backend, state.position, position)
    if (prefill.row) put(this.#backend, prefill.row, Int32Array.from(rows))
    if (prefill.scores) put(this.#backend, prefill.scores.targets, Int32Array.from(targets))
    await prefill.prepared.run()?.finally(() => this.check())
    const scored = prefill.scores && (await scoredBy(prefill.scores, targets.length, this.#backend))
    await checkLost(this.#backend, this.#lost)
    return scored
  }

  #free(): void {
    this.#memory?.prefills.close()
    this.#copies?.prepared.close()
    this.#copies?.held.free()
    this.#memory?.held.free()
    this.#copies = undefined
    this.#memory = undefined
    this.#read = []
  }

  #recordCopies(): Copies {
    const { states } = this.#memory as Memory
    const held = new Holder(this.#backend)
    try {
      const from = held.allocate([this.width], "i32")
      const recorded = plan(recordCopies(states, from), this.#backend)
      const bytes = held.bytes + recorded.arenaBytes
      return { prepared: this.#backend.prepare(recorded), held, from, bytes }
    } catch (error) {
      held.free()
      throw error
    }
  }
}
