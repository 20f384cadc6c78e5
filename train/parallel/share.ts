// Work that ranks share piece by piece: each does every size-th, and all know what all have found, in order.
import { type Communicator, gatherNumbers } from "./communicator.ts"

/** Of all pieces those of this rank. */
export const ownOf = <T>(all: readonly T[], { rank, size }: Communicator): T[] =>
  all.filter((_, i) => i % size === rank)

interface SharedWork {
  readonly count: number
  /** Most numbers that a piece gives. */
  readonly width: number
  /** What a rank does that has no piece while others have their last. */
  readonly idle?: () => Promise<unknown>
}

/** The numbers of each of so many pieces of work. */
export async function sharedNumbers(
  ranks: Communicator,
  { count, width, idle }: SharedWork,
  work: (piece: number) => Promise<readonly number[]>,
): Promise<readonly (readonly number[])[]> {
  const { rank, size } = ranks
  const rounds = Math.ceil(count / size)
  // As many of each rank: their number, they, and what fills the row.
  const own = new Array<number>(rounds * (width + 1)).fill(0)
  for (let round = 0; round < rounds; round++) {
    const piece = round * size + rank
    if (piece >= count) await idle?.()
    const found = piece < count ? await work(piece) : []
    for (const [i, number] of [found.length, ...found].entries()) {
      own[round * (width + 1) + i] = number
    }
  }
  const all = await gatherNumbers(ranks, own)
  return Array.from({ length: count }, (_, piece) => {
    const at = Math.floor(piece / size) * (width + 1)
    const [length = 0, ...row] = (all[piece % size] as number[]).slice(at, at + width + 1)
    return row.slice(0, length)
  })
}
