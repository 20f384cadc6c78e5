// Gives memory back when no plan can still be using it. Where the caller is one of the threads that is
// at once; in a page workers may be in the middle of a plan when its memory is freed.
import type { Instance } from "./instance.ts"

/** Bytes of one instance. */
export interface Region {
  readonly instance: Instance
  readonly address: number
  readonly bytes: number
}

export class Reclaim {
  /** Runs under way; each is taken out when it has ended, well or not. */
  readonly #running = new Set<Promise<unknown>>()

  /** Notes a run, and returns it. */
  watch(run: Promise<void>): Promise<void> {
    const ended: Promise<unknown> = run
      .catch(() => undefined)
      .then(() => this.#running.delete(ended))
    this.#running.add(ended)
    return run
  }

  /** Returns when the runs that are under way now have ended; undefined where there are none. */
  ended(): Promise<unknown> | undefined {
    return this.#running.size === 0 ? undefined : Promise.all(this.#running)
  }

  free({ instance, address, bytes }: Region): void {
    const ended = this.ended()
    if (ended) void ended.then(() => instance.heap.free(address, bytes))
    else instance.heap.free(address, bytes)
  }
}
