// Weights of which each rank keeps its part alone. A layer's are whole in memory that layers have in turns, from
// before they are used until others are there; those outside of all layers take their turn with them.
import { type Backend, bufferOf, offsetOf, type Tensor } from "../../engine/index.ts"
import {
  type DecoderConfig,
  type Holder,
  type LanguageModel,
  unitsOf,
  type WeightHome,
  type WeightLayout,
} from "../../model/index.ts"
import { ownedParts } from "./buckets.ts"
import type { ByteRange, Communicator } from "./communicator.ts"
import { beginGather, type Gathered } from "./gather.ts"
import { overlay } from "./overlay.ts"
import { Staging } from "./staging.ts"

/** A weight: its place among all, and this rank's part of it. */
interface Shared extends Gathered {
  readonly own: Tensor
  /** What is gathered with it: 0 outside of all layers, else 1 + the layer. */
  readonly unit: number
}

/** Numbers of two places that units have in turns: neighbours are in different ones. */
type Slot = 0 | 1

export class ShardedWeights implements WeightHome {
  readonly #ranks: Communicator
  readonly #byName = new Map<string, Shared>()
  readonly #byPlace = new Map<Tensor, Shared>()
  readonly #units: Shared[][] = []
  /** Which unit is whole in each slot. */
  readonly #there: [number | undefined, number | undefined] = [undefined, undefined]
  #pending: Promise<void> = Promise.resolve()
  #backend: Backend | undefined
  /** Through which weights go, and another's exchanges while none of theirs is under way. */
  readonly staging = new Staging()
  /** Bytes of the memory that units have in turns. */
  bytes = 0

  constructor(ranks: Communicator) {
    this.#ranks = ranks
  }

  place(config: DecoderConfig, weights: readonly WeightLayout[], held: Holder) {
    const byName = new Map(weights.map((layout, index) => [layout.name, { layout, index }]))
    const units = unitsOf(config).map((names) => names.map((name) => byName.get(name) as Weight))
    const before = held.bytes
    const places = new Map<string, Tensor>()
    for (const slot of [0, 1]) {
      const inSlot = units.filter((_, unit) => slotOf(unit, units.length) === slot)
      const found = overlay(
        inSlot.map((unit) => unit.map(({ layout }) => layout)),
        held,
      )
      inSlot.flat().forEach(({ layout }, i) => {
        places.set(layout.name, found.flat()[i] as Tensor)
      })
    }
    this.bytes = held.bytes - before
    this.#backend = held.backend
    for (const all of units) this.#units.push(this.#sharedOf(all, places, held))
    // In the order of the family's state dict, by which parts are numbered.
    return new Map(weights.map(({ name }) => [name, places.get(name) as Tensor]))
  }

  async take(name: string, backend: Backend): Promise<void> {
    const { whole, own, parts } = this.#byName.get(name) as Shared
    const { at, bytes } = parts[this.#ranks.rank] as ByteRange
    if (bytes === 0) return
    const part = await backend.read(bufferOf(whole), bytes, offsetOf(whole) + at)
    backend.write(bufferOf(own), new Uint8Array(part))
  }

  /** Bytes of the most that is whole at a time. */
  get largest(): number {
    const sizes = this.#units.map((all) => all.reduce((sum, { whole }) => sum + whole.bytes, 0))
    return Math.max(...sizes)
  }

  /** This rank's part of a weight; undefined for other tensors. */
  partOf(weight: Tensor): Tensor | undefined {
    return this.#byPlace.get(weight)?.own
  }

  /** What a weight is gathered with: 0 outside of all layers, else 1 + the layer. undefined for other tensors. */
  unitOf(weight: Tensor): number | undefined {
    return this.#byPlace.get(weight)?.unit
  }

  /** A weight, whole until another is asked for. */
  async whole(name: string): Promise<Tensor> {
    const { unit, whole } = this.#byName.get(name) as Shared
    await this.need(unit)
    return whole
  }

  /** Whether two units cannot be whole at once. */
  isEither(unit: number, other: number): boolean {
    return unit !== other && this.#slotOf(unit) === this.#slotOf(other)
  }

  /** Has a unit whole in its place. All ranks ask together, also below. */
  async need(unit: number): Promise<void> {
    await this.#pending
    if (this.#there[this.#slotOf(unit)] === unit) return
    await this.#begin(unit)
    await this.#pending
  }

  /** Begins to gather a unit that is needed next, if its place is none of those in use. */
  async ahead(unit: number, used: readonly number[]): Promise<void> {
    await this.#pending
    if (used.some((other) => this.#slotOf(other) === this.#slotOf(unit))) return
    if (this.#there[this.#slotOf(unit)] !== unit) await this.#begin(unit)
  }

  /** Returns when what was begun is done: the ranks may exchange something else then. */
  settled(): Promise<void> {
    return this.#pending
  }

  /** Each rank's part has moved: nothing that is whole is so any more. */
  moved(): void {
    this.#there.fill(undefined)
  }

  async #begin(unit: number): Promise<void> {
    const slot = this.#slotOf(unit)
    this.#there[slot] = undefined
    const all = this.#units[unit] as Shared[]
    const [backend, ranks, { staging }] = [this.#backend as Backend, this.#ranks, this]
    const { done } = await beginGather(all, { backend, ranks, staging })
    this.#pending = done.then(() => {
      this.#there[slot] = unit
    })
    // Whoever waits for it next hears of it.
    this.#pending.catch(() => undefined)
  }

  #slotOf(unit: number): Slot {
    return slotOf(unit, this.#units.length)
  }

  #sharedOf(all: readonly Weight[], places: ReadonlyMap<string, Tensor>, held: Holder): Shared[] {
    return all.map(({ layout, index }) => {
      const whole = places.get(layout.name) as Tensor
      const parts = ownedParts(whole, index, this.#ranks.size)
      const { bytes } = parts[this.#ranks.rank] as ByteRange
      // There is no memory of no numbers.
      const numbers = Math.max(1, bytes / (whole.bytes / whole.size))
      const own = held.allocate([numbers], layout.dtype)
      const shared = { whole, parts, own, unit: this.#units.length }
      this.#byName.set(layout.name, shared)
      this.#byPlace.set(whole, shared)
      return shared
    })
  }
}

interface Weight {
  readonly layout: WeightLayout
  readonly index: number
}

/** The last layer is not where what comes after it is. */
const slotOf = (unit: number, units: number): Slot =>
  unit === 0 ? 0 : (((units - unit) % 2) as Slot)

const homes = new WeakMap<LanguageModel, ShardedWeights>()

/** A model that is made with such a home for its weights. */
export async function sharedModel(
  ranks: Communicator,
  make: (home: WeightHome) => Promise<LanguageModel>,
): Promise<LanguageModel> {
  const home = new ShardedWeights(ranks)
  const model = await make(home)
  homes.set(model, home)
  return model
}

/** The weights of such a model; undefined of another. */
export const partedWeights = (model: LanguageModel): ShardedWeights | undefined => homes.get(model)

/** The same. Throws RangeError for another. */
export function sharedWeights(model: LanguageModel): ShardedWeights {
  const home = partedWeights(model)
  if (home) return home
  throw new RangeError(
    'shard "full" takes a model whose weights were never whole on a rank, as train and tune make it. Use "state"',
  )
}
