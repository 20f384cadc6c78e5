// Ranks that are in one process, for tests, and for whoever trains several models as one.
import { checkWhole } from "../../engine/index.ts"
import { type ByteRange, type Communicator, cut } from "./communicator.ts"

interface Given {
  readonly buffer: Uint8Array
  readonly parts: readonly ByteRange[]
}

/** As many ranks in this process, which share nothing but what they give each other. Throws RangeError for a
 *  size that is none. */
export function ranksInMemory(size: number): Communicator[] {
  checkWhole("ranksInMemory: the size", size, 1)
  let given: Given[] = []
  let waiting: (() => void)[] = []
  /** What all ranks gave to the same call; one that has all waits until the others have taken theirs. */
  const meet = async (rank: number, own: Given, take: (all: readonly Given[]) => void) => {
    given[rank] = own
    const all = given
    await gathered()
    take(all)
    await gathered()
  }
  let come = 0
  const gathered = (): Promise<void> =>
    new Promise((resolve) => {
      waiting.push(resolve)
      if (++come < size) return
      const ready = waiting
      come = 0
      waiting = []
      given = []
      for (const go of ready) go()
    })
  return Array.from({ length: size }, (_, rank): Communicator => {
    return {
      rank,
      size,
      name: `${size} ranks in memory`,
      exchange: (buffer, parts, received) =>
        meet(rank, { buffer, parts }, (all) => {
          let at = 0
          for (const each of all) {
            const part = each.parts[rank] as ByteRange
            received.set(cut(each.buffer, part), at)
            at += part.bytes
          }
        }),
      allGather: (buffer, parts) =>
        meet(rank, { buffer: buffer.slice(), parts }, (all) => {
          for (const [r, part] of parts.entries()) {
            if (r !== rank) buffer.set(cut((all[r] as Given).buffer, part), part.at)
          }
        }),
      abort() {},
      async close() {},
    }
  })
}
