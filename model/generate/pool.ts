// Sessions and batches of a model: one for each generation under way, and few that wait for the next one.
import { fromNode, isNode } from "../../engine/node.ts"

/** After this time without a generation, those that wait are freed. */
const defaultIdleMs = 10_000

interface Timer {
  unref?(): unknown
}

/** Memory of all that wait, at most; the one used last may be larger. */
const defaultIdleBytes = 2 ** 30

/** A session, or a batch of several sequences: memory and plans that one generation has at a time. */
interface Kept {
  /** Memory that it takes now. */
  readonly bytes: number
  /** Ends its generation at the next step. */
  stop(): void
  close(): void
}

interface Bounds {
  readonly idleMs?: number
  readonly idleBytes?: number
}

/** What is kept is of kinds: one waits only for those who ask for its kind. */
export class Pool {
  readonly #kindOf = new Map<Kept, string>()
  /** Those that no generation is using, the one used last at the end. */
  readonly #idle: Kept[] = []
  #timer: Timer | undefined
  readonly #idleMs: number
  readonly #idleBytes: number
  #closed = false

  constructor({ idleMs = defaultIdleMs, idleBytes = defaultIdleBytes }: Bounds = {}) {
    this.#idleMs = idleMs
    this.#idleBytes = idleBytes
  }

  /** One of a kind that nobody else has until it is released. */
  acquire<T extends Kept>(kind: string, open: () => T): T {
    const at = this.#idle.findLastIndex((kept) => this.#kindOf.get(kept) === kind)
    const kept = at < 0 ? open() : (this.#idle.splice(at, 1)[0] as T)
    this.#kindOf.set(kept, kind)
    return kept as T
  }

  /** Takes one back. Of a kind, as many wait as are in use, at least one; in all, no more than their
   *  bound of memory holds. The others are freed, the least recently used first. */
  release(kept: Kept): void {
    if (this.#closed) return
    this.#idle.push(kept)
    const kind = this.#kindOf.get(kept)
    const alike = this.#idle.filter((each) => this.#kindOf.get(each) === kind)
    const all = [...this.#kindOf.values()].filter((each) => each === kind).length
    const most = Math.max(1, all - alike.length)
    for (const each of alike.slice(0, Math.max(0, alike.length - most))) this.#free(each)
    const bytes = () => this.#idle.reduce((sum, each) => sum + each.bytes, 0)
    while (this.#idle.length > 1 && bytes() > this.#idleBytes) this.#free(this.#idle[0] as Kept)
    this.#freeLater()
  }

  /** Ends the generations under way at their next step. */
  stop(): void {
    this.#closed = true
    for (const kept of this.#kindOf.keys()) kept.stop()
  }

  /** Frees all of them, whoever has them. */
  close(): void {
    this.stop()
    stopTimer(this.#timer)
    this.#idle.length = 0
    for (const kept of this.#kindOf.keys()) kept.close()
    this.#kindOf.clear()
  }

  #free(kept: Kept): void {
    this.#idle.splice(this.#idle.indexOf(kept), 1)
    this.#kindOf.delete(kept)
    kept.close()
  }

  #freeLater(): void {
    stopTimer(this.#timer)
    this.#timer = startTimer(() => {
      for (const kept of [...this.#idle]) this.#free(kept)
    }, this.#idleMs)
    // A program that has nothing else to do ends.
    this.#timer.unref?.()
  }
}

/** In Deno, only Node's timers can be told not to keep the process. */
const timers = isNode ? fromNode("node:timers") : globalThis

const startTimer = (act: () => void, ms: number): Timer => timers.setTimeout(act, ms) as Timer

const stopTimer = (timer: Timer | undefined): void => timers.clearTimeout(timer as never)

/** Sessions of generations that nobody can go on with are given back. */
const abandoned = new FinalizationRegistry<Seat>((seat) => seat.leave())

/** What a generation holds while it is under way; it knows nothing of the generation. */
export class Seat {
  readonly #pool: Pool
  readonly #taken: (readonly [Pool, Kept])[] = []

  constructor(pool: Pool) {
    this.#pool = pool
  }

  /** Leaves when its generation is forgotten. */
  watch(generation: object): void {
    abandoned.register(generation, this, this)
  }

  take<T extends Kept>(kind: string, open: () => T, pool = this.#pool): T {
    const kept = pool.acquire(kind, open)
    this.#taken.push([pool, kept])
    return kept
  }

  leave(): void {
    for (const [pool, kept] of this.#taken.splice(0)) pool.release(kept)
  }

  end(): void {
    abandoned.unregister(this)
    this.leave()
  }
}
