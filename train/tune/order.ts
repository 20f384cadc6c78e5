// The micro-batches of a run, epoch after epoch: which examples each is made of, and where it stands. A
// micro-batch that an epoch does not fill is filled with the first examples of that epoch.
import { isObject, show } from "../../model/json.ts"
import { PythonRandom } from "../../model/python/random.ts"
import { numpyPermutation, torchPermutation } from "../preference/order.ts"

/** The order of n examples in an epoch. */
export type OrderOf = (epoch: number, n: number) => readonly number[]

/** As CoreNet's sampler has it: every epoch is shuffled by one generator. */
export function releaseOrder(seed: number): OrderOf {
  let [random, next] = [new PythonRandom(seed), 0]
  return (epoch, n) => {
    if (epoch < next) [random, next] = [new PythonRandom(seed), 0]
    let order: number[] = []
    for (; next <= epoch; next++) {
      order = Array.from({ length: n }, (_, i) => i)
      random.shuffle(order)
    }
    return order
  }
}

/** As alignment-handbook and transformers have it: records shuffled once, then epoch by epoch. */
export const trainerOrder =
  (seed: number): OrderOf =>
  (epoch, n) => {
    const once = numpyPermutation(seed, n)
    return torchPermutation((seed + epoch) % 2 ** 32, n).map((i) => once[i] as number)
  }

/** A row of a micro-batch: the examples that lie in it. */
type Row = readonly number[]

/** How a run goes through its examples. */
interface StreamOptions {
  /** Of every example, in positions. */
  readonly lengths: readonly number[]
  readonly orderOf: OrderOf
  /** Rows of a micro-batch. */
  readonly rows: number
  /** Positions of a row that several examples share; none where each has its own. */
  readonly window: number | undefined
}

/** Where a stream stands: so many micro-batches of an epoch are out. */
interface StreamPlace {
  readonly epoch: number
  readonly batch: number
}

export class ExampleStream {
  readonly #options: StreamOptions
  #place: StreamPlace = { epoch: 0, batch: 0 }
  #known: { readonly epoch: number; readonly batches: readonly (readonly Row[])[] } | undefined

  constructor(options: StreamOptions) {
    this.#options = options
  }

  get place(): StreamPlace {
    return this.#place
  }

  /** Goes on from a place of a file. Throws RangeError for what is none. */
  goTo(place: unknown, name: string): void {
    const { epoch, batch } = isObject(place) ? place : {}
    const isPlace = [epoch, batch].every((x) => Number.isSafeInteger(x) && Number(x) >= 0)
    if (!isPlace || Number(epoch) > 1e6) {
      throw new RangeError(`${name} is ${show(place)}, expected an epoch and a batch`)
    }
    this.#place = { epoch: epoch as number, batch: batch as number }
  }

  /** The next micro-batch. */
  next(): readonly Row[] {
    const { epoch, batch } = this.#place
    const found = this.#batchesOf(epoch)[batch]
    if (!found) {
      this.#place = { epoch: epoch + 1, batch: 0 }
      return this.next()
    }
    this.#place = { epoch, batch: batch + 1 }
    return found
  }

  /** Updates in so many epochs: of whole groups of micro-batches, as transformers counts them. */
  updatesIn(epochs: number, accumulation: number): number {
    const { window } = this.#options
    const perEpoch = (epoch: number): number => this.#batchesOf(epoch).length
    if (window === undefined) {
      return Math.max(1, Math.ceil(epochs * Math.max(1, Math.floor(perEpoch(0) / accumulation))))
    }
    // Windows of a shuffled epoch are not as many as another's.
    let batches = 0
    for (let e = 0; e < Math.floor(epochs); e++) batches += perEpoch(e)
    const rest = epochs - Math.floor(epochs)
    if (rest > 0) batches += rest * perEpoch(Math.floor(epochs))
    return Math.max(1, Math.floor(batches / accumulation))
  }

  #batchesOf(epoch: number): readonly (readonly Row[])[] {
    if (this.#known?.epoch === epoch) return this.#known.batches
    const { lengths, orderOf, rows: size, window } = this.#options
    const order = orderOf(epoch, lengths.length)
    const rows = window === undefined ? order.map((i) => [i]) : packed(order, lengths, window)
    const count = Math.ceil(rows.length / size)
    const batches = Array.from({ length: count }, (_, b) =>
      Array.from({ length: size }, (_, i) => rows[(b * size + i) % rows.length] as Row),
    )
    this.#known = { epoch, batches }
    return batches
  }
}

/** Examples in windows, in their order, each whole. */
function packed(order: readonly number[], lengths: readonly number[], window: number): Row[] {
  const rows: number[][] = []
  let room = 0
  for (const i of order) {
    const length = lengths[i] as number
    if (length > room || rows.length === 0) {
      rows.push([])
      room = window
    }
    rows.at(-1)?.push(i)
    room -= length
  }
  return rows
}
