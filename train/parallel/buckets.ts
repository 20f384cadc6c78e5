// What ranks exchange at a time: portions of several tensors in one call, of which each rank owns a part, laid out
// by owner.
import type { Tensor } from "../../engine/index.ts"
import { squaresPerPart } from "../../ops/index.ts"
import type { ByteRange } from "./communicator.ts"

/** What each rank owns of tensor number `index` of a list: whole parts of those numbers whose squares are
 *  summed together, about as many each, in an order that differs from tensor to tensor. In bytes. */
export function ownedParts(
  { size: numbers, bytes }: Pick<Tensor, "size" | "bytes">,
  index: number,
  ranks: number,
): ByteRange[] {
  const item = bytes / numbers
  const all = Math.ceil(numbers / squaresPerPart)
  const boundary = (place: number): number =>
    Math.min(numbers, Math.floor((all * place) / ranks) * squaresPerPart) * item
  // Spread evenly over tensors that are as far from each other in the list as those of one kind are.
  const first = Math.floor(((index * goldenRatio) % 1) * ranks)
  return Array.from({ length: ranks }, (_, rank) => {
    const place = (rank + first) % ranks
    const [at, end] = [boundary(place), boundary(place + 1)]
    return { at, bytes: end - at }
  })
}

const goldenRatio = (Math.sqrt(5) - 1) / 2

/** The numbers of a tensor that a rank owns. */
export function ownedSlice(
  tensor: Pick<Tensor, "size" | "bytes">,
  index: number,
  { rank, size }: { readonly rank: number; readonly size: number },
): { readonly at: number; readonly size: number } {
  const { at, bytes } = ownedParts(tensor, index, size)[rank] as ByteRange
  const item = tensor.bytes / tensor.size
  return { at: at / item, size: bytes / item }
}

/** A portion of tensor number `item`: what it has of each rank's part. */
export interface Portion {
  readonly item: number
  readonly ranges: readonly ByteRange[]
}

/** Tensors by their parts in portions, as many in a bucket as come to `most` bytes; one portion at least. */
export function bucketsOf(
  items: readonly (readonly ByteRange[])[],
  most: number,
): readonly (readonly Portion[])[] {
  const buckets: Portion[][] = []
  let left = 0
  for (const [item, parts] of items.entries()) {
    const longest = Math.max(...parts.map(({ bytes }) => bytes))
    // Of whole words, whatever the dtype.
    const step = Math.max(squaresPerPart, Math.floor(most / parts.length / 4) * 4)
    for (let from = 0; from < longest; from += step) {
      const ranges = parts.map(({ at, bytes }) => {
        const first = Math.min(from, bytes)
        return { at: at + first, bytes: Math.min(step, bytes - first) }
      })
      const bytes = ranges.reduce((sum, range) => sum + range.bytes, 0)
      if (bytes > left || buckets.length === 0) {
        buckets.push([])
        left = most
      }
      buckets.at(-1)?.push({ item, ranges })
      left -= bytes
    }
  }
  return buckets
}

/** Where each rank's portions of a bucket lie, one after another. */
export function packedParts(bucket: readonly Portion[], ranks: number): ByteRange[] {
  let end = 0
  return Array.from({ length: ranks }, (_, rank) => {
    const at = end
    for (const { ranges } of bucket) end += (ranges[rank] as ByteRange).bytes
    return { at, bytes: end - at }
  })
}

/** Calls `each` with what a bucket has of every rank's part: where in its tensor, and where in what is
 *  exchanged. */
export async function eachRange(
  bucket: readonly Portion[],
  ranks: number,
  each: (
    portion: Portion,
    rank: number,
    range: ByteRange,
    packedAt: number,
  ) => Promise<void> | void,
): Promise<void> {
  let at = 0
  for (let rank = 0; rank < ranks; rank++) {
    for (const portion of bucket) {
      const range = portion.ranges[rank] as ByteRange
      if (range.bytes > 0) await each(portion, rank, range, at)
      at += range.bytes
    }
  }
}
