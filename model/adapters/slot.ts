// The adapter that what is asked of a model goes through, and what is freed with the model.
import { type Source, sourceOf } from "../generate/source.ts"
import { type Adapter, adapterInternals, type Host } from "./adapter.ts"

export class AdapterSlot {
  /** The weights as they are. */
  readonly base: Source
  /** What is to be closed with the model. */
  readonly owned = new Set<{ close(): Promise<void> }>()
  #adapter: Adapter | undefined

  constructor(base: Source) {
    this.base = base
  }

  get adapter(): Adapter | undefined {
    return this.#adapter
  }

  /** Throws TypeError for what is no adapter of this model. */
  set adapter(adapter: Adapter | undefined) {
    this.sourceOf(adapter)
    this.#adapter = adapter
  }

  /** Where requests go: to the adapter, if there is one. */
  get source(): Source {
    return this.sourceOf(this.#adapter)
  }

  /** Where one request goes: to the adapter that its options name, for null to the weights as they are, else
   *  where requests go. Throws TypeError for what is no adapter of this model. */
  sourceFor(adapter: unknown): Source {
    if (adapter === undefined) return this.source
    return adapter === null ? this.base : this.sourceOf(adapter as Adapter)
  }

  /** The same for each of `count` prompts. Throws RangeError for a list of another length. */
  sourcesFor(adapter: unknown, count: number): Source[] {
    const given: unknown[] = Array.isArray(adapter) ? adapter : Array(count).fill(adapter)
    if (given.length === count) return Array.from(given, (each) => this.sourceFor(each))
    throw new RangeError(`complete: there are ${given.length} adapters for ${count} prompts`)
  }

  get host(): Host {
    return {
      source: this.base,
      owns: (adapter) => this.owned.add(adapter),
      leave: (adapter) => {
        this.owned.delete(adapter)
        if (this.#adapter === adapter) this.#adapter = undefined
      },
    }
  }

  /** Where requests through an adapter go, or without one. Throws TypeError for what is none of this model. */
  sourceOf(adapter: Adapter | undefined): Source {
    if (!adapter) return this.base
    adapterInternals(adapter, this.base.tensors)
    return sourceOf(adapter) as Source
  }
}
