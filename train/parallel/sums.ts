// Sums of gradients over ranks, to the bit those that one process makes of the same micro-batches: each
// rank owns a part of every gradient, gets that part from the others, and adds them in the order of
// micro-batches, whatever order a library's own sums have.
import { type Backend, bufferOf, readBound, type Tensor } from "../../engine/index.ts"
import { squaresPerPart } from "../../ops/index.ts"
import { type ByteRange, type Communicator, cut } from "./communicator.ts"

const numberBytes = Float32Array.BYTES_PER_ELEMENT

/** What each rank owns of tensor number `index` of so many numbers: whole parts of those whose squares
 *  are summed together, about as many each, in an order that differs from tensor to tensor. */
function ownedParts(numbers: number, index: number, size: number): ByteRange[] {
  const all = Math.ceil(numbers / squaresPerPart)
  const boundary = (place: number): number =>
    Math.min(numbers, Math.floor((all * place) / size) * squaresPerPart) * numberBytes
  return Array.from({ length: size }, (_, rank) => {
    const place = (rank + index) % size
    const [at, end] = [boundary(place), boundary(place + 1)]
    return { at, bytes: end - at }
  })
}

/** Of a gradient: what each rank owns, and the sum of what this one does. */
interface Owned {
  readonly parts: readonly ByteRange[]
  readonly sum: Float32Array
}

/** Sums of the gradients of an update's micro-batches, of which each rank has every size-th. */
export class GradientSums {
  readonly #ranks: Communicator
  readonly #backend: Backend
  readonly #owned: readonly Owned[]
  readonly #gradients: readonly Tensor[]

  /** gradients: where each rank has its own, in f32, and in the end the sums. */
  constructor(gradients: readonly Tensor[], backend: Backend, ranks: Communicator) {
    this.#gradients = gradients
    this.#backend = backend
    this.#ranks = ranks
    this.#owned = gradients.map(({ size }, i) => {
      const parts = ownedParts(size, i, ranks.size)
      return { parts, sum: new Float32Array((parts[ranks.rank] as ByteRange).bytes / numberBytes) }
    })
  }

  /** Bytes of this rank's part of the sums. */
  get bytes(): number {
    return this.#owned.reduce((all, { sum }) => all + sum.byteLength, 0)
  }

  /** Adds what every rank's gradients are now, those of round number `round` of an update. */
  async add(round: number): Promise<void> {
    for (const [i, gradient] of this.#gradients.entries()) {
      const { parts, sum } = this.#owned[i] as Owned
      const own = await readBound(gradient, this.#backend)
      const received = new Float32Array(this.#ranks.size * sum.length)
      await this.#ranks.exchange(bytesOf(own), parts, bytesOf(received))
      for (let rank = 0; rank < this.#ranks.size; rank++) {
        const terms = received.subarray(rank * sum.length, (rank + 1) * sum.length)
        if (round === 0 && rank === 0) sum.set(terms)
        else addTo(sum, terms)
      }
    }
  }

  /** Every rank's gradients become the sums. */
  async share(): Promise<void> {
    for (const [i, gradient] of this.#gradients.entries()) {
      const { parts, sum } = this.#owned[i] as Owned
      await gatherInto(gradient, parts, bytesOf(sum), this.#backend, this.#ranks)
    }
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

/** Rounded to f32 after each number, as the op `accumulate` does it. */
function addTo(sum: Float32Array, terms: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (terms[i] as number)
}

/** Every rank's own numbers of some tensors become those of all; parts as `ownedParts` has them. */
export async function gatherOwned(
  tensors: readonly Tensor[],
  backend: Backend,
  ranks: Communicator,
): Promise<void> {
  for (const [i, tensor] of tensors.entries()) {
    const item = tensor.bytes / tensor.size
    const scale = (x: number): number => (x / numberBytes) * item
    const parts = ownedParts(tensor.size, i, ranks.size).map(({ at, bytes }) => {
      return { at: scale(at), bytes: scale(bytes) }
    })
    const { at, bytes } = parts[ranks.rank] as ByteRange
    const own = bytes > 0 ? await backend.read(bufferOf(tensor), bytes, at) : new ArrayBuffer(0)
    await gatherInto(tensor, parts, new Uint8Array(own), backend, ranks)
  }
}

/** A tensor becomes what each rank has of it, this one `own`. */
async function gatherInto(
  tensor: Tensor,
  parts: readonly ByteRange[],
  own: Uint8Array,
  backend: Backend,
  ranks: Communicator,
): Promise<void> {
  const whole = new Uint8Array(tensor.bytes)
  cut(whole, parts[ranks.rank] as ByteRange).set(own)
  await ranks.allGather(whole, parts)
  backend.write(bufferOf(tensor), whole)
}

/** The numbers of tensor number `index` that a rank owns. */
export function ownedSlice(numbers: number, index: number, { rank, size }: Communicator) {
  const { at, bytes } = ownedParts(numbers, index, size)[rank] as ByteRange
  return { at: at / numberBytes, size: bytes / numberBytes }
}
