// Makes tensors whole of which each rank has a part: in as few calls as their bytes take.
import { type Backend, bufferOf, offsetOf, readInto, type Tensor } from "../../engine/index.ts"
import { bucketsOf, eachRange, type Portion, packedParts } from "./buckets.ts"
import { type ByteRange, type Communicator, cut } from "./communicator.ts"
import type { Staging } from "./staging.ts"

/** A tensor to be made whole. */
export interface Gathered {
  readonly whole: Tensor
  /** What each rank has of it. */
  readonly parts: readonly ByteRange[]
  /** Where this rank's part is, by itself; absent where it is in its place. */
  readonly own?: Tensor | undefined
}

/** Bytes that are gathered at a time. */
export const gatheredBytes = 16 << 20

/** Where tensors are, and whose parts they have. */
export interface Gathering {
  readonly backend: Backend
  readonly ranks: Communicator
  /** What is gathered goes through it; nothing else may until that is done. */
  readonly staging: Staging
}

/** Every rank's parts of some tensors become those of all. */
export const gatherParts = async (all: readonly Gathered[], where: Gathering): Promise<void> =>
  (await beginGather(all, where)).done

/** The same under way: what is first to be exchanged is so when this returns. */
export async function beginGather(
  all: readonly Gathered[],
  where: Gathering,
): Promise<{ readonly done: Promise<void> }> {
  const parts = all.map((each) => each.parts)
  const [first, ...rest] = bucketsOf(parts, gatheredBytes)
  if (!first) return { done: Promise.resolve() }
  const begun = await beginOne(first, all, where)
  const done = (async () => {
    await begun.done
    for (const bucket of rest) await (await beginOne(bucket, all, where)).done
  })()
  // Whoever waits for it hears of it.
  done.catch(() => undefined)
  return { done }
}

async function beginOne(
  bucket: readonly Portion[],
  all: readonly Gathered[],
  { backend, ranks, staging }: Gathering,
): Promise<{ readonly done: Promise<void> }> {
  const { rank, size } = ranks
  const parts = packedParts(bucket, size)
  const packed = staging.take(parts.reduce((sum, { bytes }) => sum + bytes, 0))
  await eachRange(bucket, size, ({ item }, of, { at, bytes }, packedAt) => {
    if (of !== rank) return
    const { whole, own, parts } = all[item] as Gathered
    const from = own ? at - (parts[rank] as ByteRange).at : at
    return readInto(own ?? whole, backend, cut(packed, { at: packedAt, bytes }), from)
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
