// Drafts from a smaller model, or from the first layers of the same one.
import type { DecoderConfig } from "../architecture.ts"
import { type Draft, type Drafter, type DraftRound, noise } from "./draft.ts"
import { changed, drawn, type HostChoice } from "./host.ts"
import { sharedLength } from "./ids.ts"
import type { Checked } from "./options.ts"
import { softmax } from "./processors/probabilities.ts"
import type { Step } from "./processors/processor.ts"
import { Sequence } from "./sequence.ts"
import { Session } from "./session.ts"
import type { Source } from "./source.ts"

/** How many tokens a round guesses. */
export interface Schedule {
  readonly first: number
  readonly change: "heuristic" | "constant"
}

/** What an assistant is given beside its session. */
interface Ways {
  /** Keeps its weights where they are. */
  within<T>(work: () => Promise<T>): Promise<T>
  readonly options: Checked
  readonly host: HostChoice
  readonly schedule: Schedule
  /** Devices that had been lost before. */
  readonly lost: number
}

export class Assistant implements Drafter {
  readonly #sequence: Sequence
  readonly #capacity: number
  readonly #ways: Ways
  #planned: number
  /** Tokens in its cache. */
  #read: readonly number[] = []

  /** On a session that no one else uses meanwhile. */
  constructor(session: Session, ways: Ways) {
    session.begin(ways.options, ways.lost)
    this.#sequence = new Sequence(session)
    this.#capacity = session.capacity
    this.#ways = ways
    this.#planned = ways.schedule.first
  }

  propose(step: Step, most: number): Promise<Draft> {
    const { overflow } = this.#ways.options
    const room = overflow ? this.#capacity - overflow.keep - 1 : this.#capacity - step.ids.length
    const count = Math.min(this.#planned, most - 1, room)
    if (count <= 0) return Promise.resolve({ ids: [] })
    return this.#ways.within(() => this.#draft(step, count))
  }

  get planned(): number {
    return this.#planned
  }

  told({ drafted, accepted }: DraftRound): void {
    if (this.#ways.schedule.change === "constant") return
    this.#planned = accepted === drafted ? this.#planned + 2 : Math.max(1, this.#planned - 1)
  }

  async #draft(step: Step, count: number): Promise<Draft> {
    const { options, host } = this.#ways
    const { temperature, seed, stop } = options
    const ids = [...step.ids]
    const probabilities: Float64Array[] = []
    const here = { ...step, ids }
    while (ids.length < step.ids.length + count) {
      const row = await this.#after(ids)
      const scores = changed(row, host.changes, here)
      const isDrawn = temperature > 0
      const id = drawn(scores, isDrawn ? noise.draft(seed, ids.length) : undefined)
      if (isDrawn) probabilities.push(softmax(scores))
      ids.push(id)
      if (stop.includes(id)) break
    }
    const drafts = ids.slice(step.ids.length)
    return temperature > 0 ? { ids: drafts, probabilities } : { ids: drafts }
  }

  /** What of a text fits the cache where texts are longer: its first tokens and the last ones, which are
   *  read anew whenever some more are left out. */
  #window(ids: readonly number[]): readonly number[] {
    const { overflow } = this.#ways.options
    const over = ids.length - this.#capacity
    if (!overflow || over <= 0) return ids
    const { keep } = overflow
    const drop = Math.max(1, Math.floor((this.#capacity - keep) / 2))
    return [...ids.slice(0, keep), ...ids.slice(keep + drop * Math.ceil(over / drop))]
  }

  /** The logits after a text, of which what it has in common with the last one is not read again. */
  async #after(ids: readonly number[]): Promise<Float32Array> {
    const seen = this.#window(ids)
    const same = sharedLength(seen.slice(0, -1), this.#read)
    this.#sequence.rewind(Math.min(same, this.#sequence.length))
    const row = await this.#sequence.logits(seen.slice(this.#sequence.length), "row")
    this.#read = [...seen]
    return row
  }
}

/** A model of the first layers alone, with the norm and the logits of the whole one. */
export function firstLayers(source: Source, layers: number): () => Session {
  const { decoder, backend, options } = source
  const { config } = decoder
  const first: DecoderConfig = { ...config, layers, keyHeads: config.keyHeads.slice(0, layers) }
  return () => new Session({ ...decoder, config: first }, backend, options)
}
