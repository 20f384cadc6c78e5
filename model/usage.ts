// Who uses memory now: readers side by side, a writer alone, in the order in which they came. It is
// freed when the last of those who came before the end has gone.

interface Waiter {
  readonly writes: boolean
  begin(): void
}

let made = 0

export class Usage {
  readonly #refusal: string
  readonly #number = made++
  /** This one and all that its memory depends on: who uses the one uses the others. The last made comes first, so
   *  that everybody waits for them in one order. */
  readonly #chain: readonly Usage[]
  readonly #waiting: Waiter[] = []
  #readers = 0
  #isWritten = false
  /** Calls made that have not ended, also those that wait, and those of children. */
  #calls = 0
  #writes = 0
  #closing: Promise<void> | undefined
  #end: (() => void) | undefined

  /** `refusal` is what callers hear after the end. */
  constructor(refusal: string, ...parents: readonly (Usage | undefined)[]) {
    this.#refusal = refusal
    const all = new Set([this, ...parents.flatMap((parent) => (parent ? parent.#chain : []))])
    this.#chain = [...all].sort((a, b) => b.#number - a.#number)
  }

  /** How often there was a writer so far, of what all depends on. */
  get writes(): number {
    return (this.#chain.at(-1) as Usage).#writes
  }

  /** Whether there is a writer now. */
  get isWritten(): boolean {
    return this.#isWritten
  }

  /** Whether its end has begun. */
  get isClosed(): boolean {
    return this.#closing !== undefined
  }

  /** What `work` gives while nobody writes. Throws Error after the end. */
  reading<T>(work: () => Promise<T>): Promise<T> {
    return this.#during(false, work)
  }

  /** What `work` gives while nobody else reads or writes. Throws Error after the end. */
  writing<T>(work: () => Promise<T>): Promise<T> {
    return this.#during(true, work)
  }

  /** Throws Error after the end. */
  check(): void {
    const closing = this.#chain.find((each) => each.#closing)
    if (closing) throw new Error(closing.#refusal)
  }

  /** Ends it for all who come, and frees when those who came before have gone: at once if there are
   *  none. */
  close(free: () => void): Promise<void> {
    if (!this.#closing) {
      this.#closing = new Promise((resolve, reject) => {
        this.#end = () => {
          try {
            resolve(free())
          } catch (error) {
            reject(error)
          }
        }
      })
      this.#endIfIdle()
    }
    return this.#closing
  }

  async #during<T>(writes: boolean, work: () => Promise<T>): Promise<T> {
    this.check()
    // Before anything is waited for: what was checked stays so, and calls keep their order.
    const all = this.#chain
    for (const each of all) each.#calls++
    try {
      for (const each of all) {
        const turn = each.#enter(writes)
        if (turn) await turn
      }
      try {
        return await work()
      } finally {
        for (const each of all) each.#leave(writes)
      }
    } finally {
      for (const each of all) each.#calls--
      for (const each of all) each.#endIfIdle()
    }
  }

  #enter(writes: boolean): Promise<void> | undefined {
    if (this.#waiting.length === 0 && this.#takes(writes)) {
      this.#begin(writes)
      return undefined
    }
    return new Promise((resolve) => {
      const begin = (): void => {
        this.#begin(writes)
        resolve()
      }
      this.#waiting.push({ writes, begin })
    })
  }

  #takes(writes: boolean): boolean {
    return !this.#isWritten && (!writes || this.#readers === 0)
  }

  #begin(writes: boolean): void {
    if (!writes) this.#readers++
    else this.#isWritten = true
  }

  #leave(writes: boolean): void {
    if (!writes) this.#readers--
    else {
      this.#isWritten = false
      this.#writes++
    }
    for (let next = this.#waiting[0]; next && this.#takes(next.writes); next = this.#waiting[0]) {
      this.#waiting.shift()
      next.begin()
    }
  }

  #endIfIdle(): void {
    if (this.#calls > 0) return
    this.#end?.()
    this.#end = undefined
  }
}
