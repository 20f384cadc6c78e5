// The sessions of a model: one for each generation under way, and few that wait for the next one.
import { fromNode, isNode } from "../../engine/node.ts"
import type { Session } from "./session.ts"

/** After this time without a generation, those that wait are freed. */
const defaultIdleMs = 10_000

interface Timer {
  unref?(): unknown
}

export class SessionPool {
  readonly #open: () => Session
  readonly #all = new Set<Session>()
  /** Those that no generation is using, the one used last at the end. */
  readonly #idle: Session[] = []
  #timer: Timer | undefined
  readonly #idleMs: number
  #closed = false

  constructor(open: () => Session, idleMs = defaultIdleMs) {
    this.#open = open
    this.#idleMs = idleMs
  }

  /** One that nobody else has until it is released. */
  acquire(): Session {
    const session = this.#idle.pop() ?? this.#open()
    this.#all.add(session)
    return session
  }

  /** Takes one back. As many wait as are in use, at least one; the others are freed. */
  release(session: Session): void {
    if (this.#closed) return
    this.#idle.push(session)
    this.#keep(Math.max(1, this.#all.size - this.#idle.length))
    this.#freeLater()
  }

  /** Ends the generations under way at their next step. */
  stop(): void {
    this.#closed = true
    for (const session of this.#all) session.stop()
  }

  /** Frees all sessions, whoever has them. */
  close(): void {
    this.stop()
    stopTimer(this.#timer)
    this.#idle.length = 0
    for (const session of this.#all) session.close()
    this.#all.clear()
  }

  #keep(count: number): void {
    for (const session of this.#idle.splice(0, Math.max(0, this.#idle.length - count))) {
      this.#all.delete(session)
      session.close()
    }
  }

  #freeLater(): void {
    stopTimer(this.#timer)
    this.#timer = startTimer(() => this.#keep(0), this.#idleMs)
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
  readonly #pool: SessionPool
  #session: Session | undefined

  constructor(pool: SessionPool) {
    this.#pool = pool
  }

  /** Leaves when its generation is forgotten. */
  watch(generation: object): void {
    abandoned.register(generation, this, this)
  }

  take(): Session {
    this.#session = this.#pool.acquire()
    return this.#session
  }

  leave(): void {
    const session = this.#session
    this.#session = undefined
    if (session) this.#pool.release(session)
  }

  end(): void {
    abandoned.unregister(this)
    this.leave()
  }
}
