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
    if (adapter !== undefined) this.#sourceOf(adapter)
    this.#adapter = adapter
  }

  /** Where requests go: to the adapter, if there is one. */
  get source(): Source {
    return this.#adapter ? this.#sourceOf(this.#adapter) : this.base
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

  #sourceOf(adapter: Adapter): Source {
    adapterInternals(adapter, this.base.tensors)
    return sourceOf(adapter) as Source
  }
}
