// The samples of a run's micro-batches. The data is read in shards, each like one of the release's ranks;
// micro-batch i of an update takes from shard i mod shards, and is computed by rank i mod ranks. So the
// samples of an update follow from the settings alone, however many processes share them.
import type { Tokenizer } from "../../model/index.ts"
import { isObject, show } from "../../model/json.ts"
import {
  type DataOptions,
  type PipelineState,
  type Sample,
  type TextPipeline,
  textPipeline,
} from "../data/index.ts"
import { type Communicator, gatherTexts } from "../parallel/communicator.ts"

interface Shares {
  readonly ranks: Communicator
  readonly shards: number
  /** Micro-batches of an update, and samples of each. */
  readonly accumulation: number
  readonly rows: number
  readonly tokenizer: Tokenizer
  /** Where another run was: what `place` gave. */
  readonly place?: unknown
  /** What errors call it. */
  readonly placeName?: string
  readonly onSkip?: (message: string) => void
}

/** Where several shards are; one by itself is where its pipeline is. */
interface ShardPlaces {
  readonly version: 1
  readonly shards: readonly (PipelineState | null)[]
}

/** Samples for this rank. */
export class ShardedSamples {
  readonly #shares: Shares
  /** Of the shards that this rank reads. */
  readonly #pipelines = new Map<number, TextPipeline>()

  /** Throws TypeError for a place that is none of so many shards. */
  constructor(data: DataOptions, shares: Shares) {
    this.#shares = shares
    const { tokenizer, shards, accumulation, ranks, onSkip } = shares
    const places = placesIn(shares)
    for (let i = ranks.rank; i < accumulation; i += ranks.size) {
      const shard = i % shards
      if (this.#pipelines.has(shard)) continue
      const [state, name] = [places?.[shard], shares.placeName ?? "state"]
      const stateName = shards === 1 ? name : `${name}: shards[${shard}]`
      const options = { tokenizer, rank: shard, worldSize: shards, ...(onSkip && { onSkip }) }
      this.#pipelines.set(
        shard,
        textPipeline(data, { ...options, ...(state && { state, stateName }) }),
      )
    }
  }

  /** Samples of this rank's micro-batches of the update after `update`, one after another. */
  async next(update: number): Promise<readonly Sample[]> {
    const { ranks, shards, accumulation, rows } = this.#shares
    const samples: Sample[] = []
    for (let i = 0; i < accumulation; i++) {
      const pipeline = this.#pipelines.get(i % shards)
      for (let n = 0; pipeline && n < rows; n++) {
        const { value, done } = await pipeline.next()
        if (done) throw new Error(`the data ended after update ${update}`)
        // Of a shard that several ranks read, each passes over what is the others'.
        if (i % ranks.size === ranks.rank) samples.push(value)
      }
    }
    return samples
  }

  /** Where the data is after the last update; all ranks ask together. */
  async place(): Promise<PipelineState | ShardPlaces | undefined> {
    const { ranks, shards } = this.#shares
    if (ranks.size === 1 && shards === 1) return this.#pipelines.get(0)?.state()
    const own = Object.fromEntries([...this.#pipelines].map(([shard, p]) => [shard, p.state()]))
    const texts = await gatherTexts(ranks, JSON.stringify(own))
    const found = texts.map((text) => JSON.parse(text) as Record<number, PipelineState>)
    const all = Array.from({ length: shards }, (_, s) => found.find((each) => each[s])?.[s] ?? null)
    return shards === 1 ? (all[0] ?? undefined) : { version: 1, shards: all }
  }

  async close(): Promise<void> {
    for (const pipeline of this.#pipelines.values()) await pipeline.return()
  }
}

/** A place for each shard. */
function placesIn({ place, placeName = "state", shards }: Shares) {
  if (place === undefined || shards === 1) return place ? [place as PipelineState] : undefined
  if (isObject(place) && Array.isArray(place.shards) && place.shards.length === shards) {
    return place.shards as readonly (PipelineState | null)[]
  }
  throw new TypeError(
    `${placeName} is ${show(place)}, expected a place for each of ${shards} shards`,
  )
}
