// Drafts from a smaller model, or from the first layers of the same one.
import type { DecoderConfig } from "../architecture.ts"
import { type Draft, type Drafter, type DraftRound, noise } from "./draft.ts"
import { changed, drawn, type HostChoice } from "./host.ts"
import type { Checked } from "./options.ts"
import { softmax } from "./processors/probabilities.ts"
import type { Step } from "./processors/processor.ts"
import { Sequence } from "./sequence.ts"
import { Session } from "./session.ts"
import type { Source } from "./source.ts"

/** Tokens that the first round drafts. */
const firstDrafts = 5

/** How many tokens a round drafts: two more after one that held whole, one less after any other, as
 *  transformers has it. Each generation begins anew, so that a seed's tokens are always the same. */
class Schedule {
  #count = firstDrafts

  get count(): number {
    return this.#count
  }

  told({ drafted, accepted }: DraftRound): void {
    this.#count = accepted === drafted ? this.#count + 2 : Math.max(1, this.#count - 1)
  }
}

export class Assistant implements Drafter {
  readonly #sequence: Sequence
  readonly #within: <T>(work: () => Promise<T>) => Promise<T>
  readonly #capacity: number
  readonly #options: Checked
  readonly #host: HostChoice
  readonly #schedule = new Schedule()
  /** Tokens in its cache. */
  #read: readonly number[] = []

  /** On a session that no one else uses meanwhile; `within` keeps its weights where they are. */
  constructor(
    session: Session,
    capacity: number,
    within: <T>(work: () => Promise<T>) => Promise<T>,
    options: Checked,
    host: HostChoice,
    lost: number,
  ) {
    session.begin(options, lost)
    this.#sequence = new Sequence(session)
    this.#capacity = capacity
    this.#within = within
    this.#options = options
    this.#host = host
  }

  propose(step: Step, most: number): Promise<Draft> {
    const count = Math.min(this.#schedule.count, most - 1, this.#capacity - step.ids.length)
    return count <= 0 ? Promise.resolve({ ids: [] }) : this.#within(() => this.#draft(step, count))
  }

  get planned(): number {
    return this.#schedule.count
  }

  told(round: DraftRound): void {
    this.#schedule.told(round)
  }

  async #draft(step: Step, count: number): Promise<Draft> {
    const { temperature, seed, stop } = this.#options
    const ids = [...step.ids]
    const probabilities: Float64Array[] = []
    const here = { ...step, ids }
    while (ids.length < step.ids.length + count) {
      const row = await this.#after(ids)
      const scores = changed(row, this.#host.changes, here)
      const isDrawn = temperature > 0
      const id = drawn(scores, isDrawn ? noise.draft(seed, ids.length) : undefined)
      if (isDrawn) probabilities.push(softmax(scores))
      ids.push(id)
      if (stop.includes(id)) break
    }
    const drafts = ids.slice(step.ids.length)
    return temperature > 0 ? { ids: drafts, probabilities } : { ids: drafts }
  }

  /** The logits after a text, of which what it has in common with the last one is not read again. */
  async #after(ids: readonly number[]): Promise<Float32Array> {
    let same = 0
    while (same < ids.length - 1 && ids[same] === this.#read[same]) same++
    this.#sequence.rewind(Math.min(same, this.#sequence.length))
    const row = await this.#sequence.logits(ids.slice(this.#sequence.length), "row")
    this.#read = [...ids]
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
