// What joins the processes of one training run: each has a rank, and gives the others bytes. That is all
// that training asks of MPI (mpi/), or of another runtime; sums are made here (sums.ts), in an order of
// their own.

/** A part of a buffer, in bytes. */
export interface ByteRange {
  readonly at: number
  readonly bytes: number
}

/** Processes that train together. Each calls the same methods in the same order, one at a time; a call
 *  ends when the others have made it too. */
export interface Communicator {
  /** Which of them this is, from 0. */
  readonly rank: number
  readonly size: number
  /** What joins them, such as "Open MPI 4.1.4". */
  readonly name: string
  /** Gives part number r of the buffer to rank r. `received` gets what each rank gives this one, one after
   *  another in their order; all are as long as this rank's own part. */
  exchange(buffer: Uint8Array, parts: readonly ByteRange[], received: Uint8Array): Promise<void>
  /** Fills the buffer with each rank's own part of it. */
  allGather(buffer: Uint8Array, parts: readonly ByteRange[]): Promise<void>
  /** Ends the processes of all ranks. */
  abort(code: number): void
  /** Leaves them, as all do. */
  close(): Promise<void>
}

/** One process by itself. */
export const alone: Communicator = {
  rank: 0,
  size: 1,
  name: "one process",
  async exchange(buffer, [part], received) {
    received.set(cut(buffer, part as ByteRange))
  },
  async allGather() {},
  abort() {},
  async close() {},
}

/** The bytes of a part. */
export const cut = (buffer: Uint8Array, { at, bytes }: ByteRange): Uint8Array =>
  buffer.subarray(at, at + bytes)

/** Each rank's numbers, as many of all, in the order of ranks. */
export async function gatherNumbers(
  ranks: Communicator,
  own: readonly number[],
): Promise<readonly number[][]> {
  const { rank, size } = ranks
  const count = own.length
  const all = new Float64Array(size * count)
  all.set(own, rank * count)
  const bytes = count * Float64Array.BYTES_PER_ELEMENT
  const parts = Array.from({ length: size }, (_, r) => ({ at: r * bytes, bytes }))
  await ranks.allGather(new Uint8Array(all.buffer), parts)
  return parts.map((_, r) => [...all.subarray(r * count, (r + 1) * count)])
}

/** Returns when all ranks have come here. */
export async function meet(ranks: Communicator): Promise<void> {
  await gatherNumbers(ranks, [0])
}

/** Each rank's text, in the order of ranks. */
export async function gatherTexts(ranks: Communicator, own: string): Promise<readonly string[]> {
  const text = new TextEncoder().encode(own)
  const lengths = (await gatherNumbers(ranks, [text.length])).map(([bytes = 0]) => bytes)
  let end = 0
  const parts = lengths.map((bytes) => {
    end += bytes
    return { at: end - bytes, bytes }
  })
  const all = new Uint8Array(end)
  all.set(text, parts[ranks.rank]?.at)
  await ranks.allGather(all, parts)
  return parts.map((part) => new TextDecoder().decode(cut(all, part)))
}

/** The same ranks, of which a call that has not ended after so long throws Error: another one hangs, or
 *  is no more. Ranks give up one after another, so that one alone says so. */
export function patient(ranks: Communicator, timeoutMs: number): Communicator {
  if (ranks.size === 1) return ranks
  const within = async (what: string, call: Promise<void>): Promise<void> => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<never>((_, reject) => {
      const text = `waited ${timeoutMs / 1000} s for the others (${what}): one of them hangs`
      const all = timeoutMs + ranks.rank * betweenRanksMs
      timer = setTimeout(() => reject(new Error(text)), all)
    })
    await Promise.race([call, late]).finally(() => clearTimeout(timer))
  }
  return {
    ...ranks,
    exchange: (...given) => within("gradients", ranks.exchange(...given)),
    allGather: (...given) => within("all-gather", ranks.allGather(...given)),
    // Whoever leaves waits for the others where no clock runs: all have come before.
    async close() {
      await within("the end", meet(ranks))
      await ranks.close()
    },
  }
}

/** What one rank waits longer than the one before it. */
const betweenRanksMs = 1000
