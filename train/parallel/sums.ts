// Sums of gradients over ranks, to the bit those that one process makes of the same micro-batches: each
// rank owns a part of every gradient, gets that part from the others, and adds them in the order of
// micro-batches, whatever order a library's own sums have. What is under way is so while the next layer's
// gradients are computed.
import { bufferOf, offsetOf, readInto, type Tensor } from "../../engine/index.ts"
import { bucketsOf, eachRange, type Portion, packedParts } from "./buckets.ts"
import { type ByteRange, cut } from "./communicator.ts"
import { type Gathering, gatherParts } from "./gather.ts"
import { Staging } from "./staging.ts"

/** A gradient that ranks sum. */
interface Summed {
  /** Where each rank has its own, in f32. */
  readonly gradient: Tensor
  /** What each rank owns of it. */
  readonly parts: readonly ByteRange[]
  /** Where the sum of this rank's part is kept; absent where all ranks get the whole sums in the end. */
  readonly sum?: Tensor | undefined
}

/** Most bytes that are exchanged at a time: few where memory is short. */
export const exchangedBytes = (shard: "none" | "state" | "full"): number =>
  shard === "none" ? 256 << 20 : 16 << 20

/** Sums of the gradients of an update's micro-batches, of which each rank has every size-th. */
export class GradientSums {
  /** What goes to other ranks goes through its memory, and another's while nothing of this is under way. */
  readonly #where: Gathering
  readonly #all: readonly Summed[]
  readonly #most: number
  /** Of gradients whose sums are shared in the end. */
  readonly #sums: ReadonlyMap<Summed, Float32Array>
  readonly #received = new Staging()
  /** A sum that is kept on the backend. */
  readonly #sum = new Staging()
  #pending: Promise<void> = Promise.resolve()

  /** most: bytes to be exchanged at a time. */
  constructor(all: readonly Summed[], where: Gathering, most: number) {
    this.#all = all
    this.#most = most
    this.#where = where
    const whole = all.filter(({ sum }) => !sum)
    const ownBytes = ({ parts }: Summed) => (parts[where.ranks.rank] as ByteRange).bytes
    this.#sums = new Map(whole.map((each) => [each, new Float32Array(ownBytes(each) / 4)]))
  }

  /** Bytes of this rank's part of sums that are shared in the end. */
  get bytes(): number {
    return [...this.#sums.values()].reduce((all, { byteLength }) => all + byteLength, 0)
  }

  /** Begins to add what every rank's gradients number `numbers` are now, those of round number `round` of an
   *  update; their memory may be written again when this returns. */
  async add(numbers: readonly number[], round: number): Promise<void> {
    const all = numbers.map((n) => this.#all[n] as Summed)
    const parts = all.map((each) => each.parts)
    for (const bucket of bucketsOf(parts, this.#most)) {
      await this.#pending
      const packed = await this.#packed(bucket, all)
      this.#pending = this.#exchange(bucket, all, packed, round)
      // Whoever waits for it next hears of it.
      this.#pending.catch(() => undefined)
    }
  }

  /** Returns when what was begun is done: the ranks may exchange something else then. */
  settled(): Promise<void> {
    return this.#pending
  }

  /** Every rank's gradients become the sums. */
  async share(): Promise<void> {
    for (const [{ gradient, parts }, sum] of this.#sums) {
      const { at } = parts[this.#where.ranks.rank] as ByteRange
      if (sum.length > 0)
        this.#where.backend.write(bufferOf(gradient), sum, offsetOf(gradient) + at)
    }
    const all = [...this.#sums.keys()].map(({ gradient, parts }) => ({ whole: gradient, parts }))
    await gatherParts(all, this.#where)
  }

  async #packed(bucket: readonly Portion[], all: readonly Summed[]): Promise<Uint8Array> {
    const { size } = this.#where.ranks
    const bytes = packedParts(bucket, size).reduce((sum, part) => sum + part.bytes, 0)
    const packed = this.#where.staging.take(bytes)
    const reads: Promise<void>[] = []
    await eachRange(bucket, size, ({ item }, _, range, at) => {
      const { gradient } = all[item] as Summed
      const target = cut(packed, { at, bytes: range.bytes })
      reads.push(readInto(gradient, this.#where.backend, target, range.at))
    })
    await Promise.all(reads)
    return packed
  }

  async #exchange(
    bucket: readonly Portion[],
    all: readonly Summed[],
    packed: Uint8Array,
    round: number,
  ): Promise<void> {
    const { rank, size } = this.#where.ranks
    const parts = packedParts(bucket, size)
    const { at: first, bytes: own } = parts[rank] as ByteRange
    const received = this.#received.take(size * own)
    await this.#where.ranks.exchange(packed, parts, received)
    await eachRange(bucket, size, async ({ item }, to, range, at) => {
      if (to !== rank) return
      const each = all[item] as Summed
      const sum = await this.#sumOf(each, range, round)
      for (let from = 0; from < size; from++) {
        const begin = from * own + at - first
        const terms = numbersOf(cut(received, { at: begin, bytes: range.bytes }))
        if (round === 0 && from === 0) sum.set(terms)
        else addTo(sum, terms)
      }
      if (each.sum) this.#where.backend.write(bufferOf(each.sum), sum, this.#placeIn(each, range))
    })
  }

  /** The numbers of a sum in a range of its gradient, of rounds before this one. */
  async #sumOf(each: Summed, range: ByteRange, round: number): Promise<Float32Array> {
    const at = this.#placeIn(each, range)
    const kept = this.#sums.get(each)
    if (kept) return kept.subarray(at / 4, (at + range.bytes) / 4)
    const sum = this.#sum.take(range.bytes)
    if (round > 0) await readInto(each.sum as Tensor, this.#where.backend, sum, at)
    return numbersOf(sum)
  }

  #placeIn({ parts }: Summed, { at }: ByteRange): number {
    return at - (parts[this.#where.ranks.rank] as ByteRange).at
  }
}

const numbersOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Float32Array =>
  new Float32Array(buffer, byteOffset, byteLength / 4)

/** Rounded to f32 after each number, as the op `accumulate` does it. */
function addTo(sum: Float32Array, terms: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (terms[i] as number)
}
