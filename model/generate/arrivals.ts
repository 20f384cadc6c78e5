// Tokens on their way from whoever makes them to whoever waits for them.

/** What is put in comes out in order; whoever leaves early says so. */
export class Arrivals<T> implements AsyncIterableIterator<T, void, undefined> {
  readonly #there: T[] = []
  #wake: (() => void) | undefined
  #error: unknown
  #isOver = false
  readonly #onLeave: () => void
  readonly #onOver: () => void

  /** `onOver` is called once, when nothing more is taken; `onLeave` where that is since nobody waits. */
  constructor(onLeave: () => void, onOver: () => void) {
    this.#onLeave = onLeave
    this.#onOver = onOver
  }

  /** Whether nothing more is taken. */
  get isOver(): boolean {
    return this.#isOver
  }

  push(value: T): void {
    if (this.#isOver) return
    this.#there.push(value)
    this.#wake?.()
  }

  /** After what is there nothing comes. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#onOver()
    this.#wake?.()
  }

  /** After what is there this is thrown. */
  fail(error: unknown): void {
    if (this.#isOver) return
    this.#error = error
    this.end()
  }

  async next(): Promise<IteratorResult<T, void>> {
    while (this.#there.length === 0) {
      if (this.#error !== undefined) {
        const error = this.#error
        this.#error = undefined
        throw error
      }
      if (this.#isOver) return { done: true, value: undefined }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return { done: false, value: this.#there.shift() as T }
  }

  async return(): Promise<IteratorResult<T, void>> {
    this.#there.length = 0
    if (!this.#isOver) {
      this.end()
      this.#onLeave()
    }
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
