// Passes beside the batch: whole texts that are read for their vectors or for how likely their tokens are.
import { defaults, QueueFullError } from "./bounds.ts"

/** One pass after another, in the order in which they were asked for: each takes memory of its own. */
export class Aside {
  readonly #queue: number
  readonly #waiting: (() => void)[] = []
  #isTaken = false

  /** `queue`: how many wait, before others are refused. */
  constructor(queue: number = defaults.queue) {
    this.#queue = queue
  }

  /** What `work` gives when it is its turn. Throws QueueFullError where it has no place to wait, the signal's
   *  reason when that is aborted meanwhile. */
  async during<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    if (this.#isTaken) await this.#turn(signal)
    this.#isTaken = true
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#isTaken = false
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.length >= this.#queue) {
      throw new QueueFullError(
        `a text is being read, and as many wait as may: ${this.#queue}. Try again later`,
      )
    }
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        signal?.removeEventListener("abort", leave)
        resolve()
      }
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(begin), 1)
        reject(signal?.reason)
      }
      signal?.addEventListener("abort", leave, { once: true })
      this.#waiting.push(begin)
    })
  }
}
