// Makes tensors whole of which each rank has a part: in as few calls as their bytes take.
import { type Backend, bufferOf, offsetOf, type Tensor } from "../../engine/index.ts"
import { bucketsOf, eachRange, type Portion, packedParts } from "./buckets.ts"
import { type ByteRange, type Communicator, cut } from "./communicator.ts"

/** A tensor to be made whole. */
export interface Gathered {
  readonly whole: Tensor
  /** What each rank has of it. */
  readonly parts: readonly ByteRange[]
  /** Where this rank's part is, by itself; absent where it is in its place. */
  readonly own?: Tensor | undefined
}

/** Bytes that are gathered at a time. */
const bucketBytes = 64 << 20

/** Every rank's parts of some tensors become those of all. */
export async function gatherParts(
  all: readonly Gathered[],
  backend: Backend,
  ranks: Communicator,
): Promise<void> {
  const parts = all.map((each) => each.parts)
  for (const bucket of bucketsOf(parts, bucketBytes)) await gather(bucket, all, backend, ranks)
}

async function gather(
  bucket: readonly Portion[],
  all: readonly Gathered[],
  backend: Backend,
  ranks: Communicator,
): Promise<void> {
  const { rank, size } = ranks
  const parts = packedParts(bucket, size)
  const packed = new Uint8Array(parts.reduce((sum, { bytes }) => sum + bytes, 0))
  await eachRange(bucket, size, async ({ item }, of, { at, bytes }, packedAt) => {
    if (of !== rank) return
    const { whole, own, parts } = all[item] as Gathered
    const from = own ? at - (parts[rank] as ByteRange).at : at
    const tensor = own ?? whole
    const read = await backend.read(bufferOf(tensor), bytes, offsetOf(tensor) + from)
    packed.set(new Uint8Array(read), packedAt)
  })
  await ranks.allGather(packed, parts)
  await eachRange(bucket, size, ({ item }, of, range, packedAt) => {
    const { whole, own } = all[item] as Gathered
    if (of === rank && !own) return
    const bytes = cut(packed, { at: packedAt, bytes: range.bytes })
    backend.write(bufferOf(whole), bytes, offsetOf(whole) + range.at)
  })
}
