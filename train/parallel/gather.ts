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
export const gatheredBytes = 32 << 20

/** Every rank's parts of some tensors become those of all. */
export const gatherParts = async (
  all: readonly Gathered[],
  backend: Backend,
  ranks: Communicator,
): Promise<void> => (await beginGather(all, backend, ranks)).done

/** The same under way: what is first to be exchanged is so when this returns. */
export async function beginGather(
  all: readonly Gathered[],
  backend: Backend,
  ranks: Communicator,
): Promise<{ readonly done: Promise<void> }> {
  const parts = all.map((each) => each.parts)
  const [first, ...rest] = bucketsOf(parts, gatheredBytes)
  if (!first) return { done: Promise.resolve() }
  const begun = await beginOne(first, all, backend, ranks)
  const done = (async () => {
    await begun.done
    for (const bucket of rest) await (await beginOne(bucket, all, backend, ranks)).done
  })()
  // Whoever waits for it hears of it.
  done.catch(() => undefined)
  return { done }
}

async function beginOne(
  bucket: readonly Portion[],
  all: readonly Gathered[],
  backend: Backend,
  ranks: Communicator,
): Promise<{ readonly done: Promise<void> }> {
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
  const unpack = () =>
    eachRange(bucket, size, ({ item }, of, range, packedAt) => {
      const { whole, own } = all[item] as Gathered
      if (of === rank && !own) return
      const bytes = cut(packed, { at: packedAt, bytes: range.bytes })
      backend.write(bufferOf(whole), bytes, offsetOf(whole) + range.at)
    })
  return { done: ranks.allGather(packed, parts).then(unpack) }
}
