// What the requests of one batch go through: one source, or several side by side, each in a route. Where an adapter
// is closed, the others go on without it.
import { AdapterStack, baseOf } from "../adapters/stack.ts"
import type { Source } from "./source.ts"

export class Sources {
  readonly #sources: readonly Source[]
  readonly #base: Source
  /** With the weights as they are in the place of an adapter that was closed. */
  #open: readonly Source[]
  #stack: AdapterStack | undefined

  constructor(sources: readonly Source[]) {
    this.#sources = sources
    this.#base = baseOf(sources[0] as Source)
    this.#open = sources
    this.#stack = stackOf(sources)
  }

  get count(): number {
    return this.#sources.length
  }

  get source(): Source {
    return this.#stack?.source ?? (this.#open[0] as Source)
  }

  /** Throws Error where the adapter of a route was closed, or the model. */
  check(route: number): void {
    this.#sources[route]?.usage.check()
  }

  /** Whether `source` is of an adapter that was closed since. */
  get isStale(): boolean {
    return this.#open.some((source) => source !== this.#base && source.usage.isClosed)
  }

  /** Goes on without those that were closed: what was made of the source before is to be closed first. */
  reopen(): void {
    this.close()
    this.#open = this.#open.map((source) => (source.usage.isClosed ? this.#base : source))
    this.#stack = stackOf(this.#open)
  }

  close(): void {
    this.#stack?.close()
    this.#stack = undefined
  }
}

const stackOf = (sources: readonly Source[]): AdapterStack | undefined =>
  new Set(sources).size > 1 ? new AdapterStack(sources) : undefined
