// How many are under way, and who waits for the last of them.
export class UnderWay {
  #count = 0
  #waiting: (() => void)[] = []

  /** One more; called, what it returns says that this one has ended. */
  enter(): () => void {
    this.#count++
    let isIn = true
    return () => {
      if (!isIn) return
      isIn = false
      this.#count--
      if (this.#count === 0) for (const resolve of this.#waiting.splice(0)) resolve()
    }
  }

  /** Ends when there is none. */
  async ended(): Promise<void> {
    if (this.#count > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}
