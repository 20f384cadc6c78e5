// Which tokens lanes (lanes.ts) read next: each has passes of its own to read, and a step reads so many
// positions of each that little of it is padding.
import { sharedLength } from "./ids.ts"
import type { Chunk, LaneStep } from "./lanes.ts"
import type { Pass, Run } from "./passes.ts"
import { powerOfTwo } from "./prefill.ts"

/** Positions in whose time a step reads the weights. */
const stepCost = 8
/** Positions that a step reads, of all lanes. */
const mostRows = 512
/** Rows of logits that a step holds. */
const mostWanted = 256

/** Positions of each lane that steps are recorded for: all up to 16, then eight to each doubling. */
const lengths = lengthsUpTo(mostRows)

function lengthsUpTo(most: number): number[] {
  const found: number[] = []
  for (let T = 1; T <= most; T += 2 ** Math.max(0, Math.floor(Math.log2(T)) - 3)) found.push(T)
  return found
}

/** What one lane is to read. */
export class LaneWork {
  #passes: readonly Pass[] = []
  /** Of the first pass, what has been read of all that is wanted. */
  #done = 0

  get isDone(): boolean {
    return this.#passes.length === 0
  }

  give(run: Run): void {
    this.#passes = run
  }

  /** Where the next chunk starts, in a lane that has read so much: a row is read again where not all that
   *  is wanted of it is known. */
  startAfter(read: readonly number[]): number {
    const { ids, wanted } = this.#passes[0] as Pass
    return Math.min(sharedLength(read, ids), wanted[this.#done]?.row ?? ids.length)
  }

  /** The tokens from there on, at most so many, of which at most so much is wanted. */
  chunk(start: number, tokens: number, most: number): Chunk | undefined {
    if (most === 0) return undefined
    const { ids, wanted } = this.#passes[0] as Pass
    const end = Math.min(start + tokens, ids.length)
    const next = wanted.slice(this.#done, this.#done + most).filter(({ row }) => row < end)
    const isFull = next.length === most
    return { ids, start, end: isFull ? (next.at(-1)?.row as number) + 1 : end, wanted: next }
  }

  /** What a chunk has of it has been read. */
  took({ end, wanted }: Chunk): void {
    const [first, ...others] = this.#passes as [Pass, ...Pass[]]
    this.#done += wanted.length
    if (this.#done < first.wanted.length || end < first.ids.length) return
    this.#passes = others
    this.#done = 0
  }
}

interface Room {
  readonly capacity: number
  read(lane: number): readonly number[]
}

/** The step that reads the most in its time; undefined where all is done. */
export function nextStep(work: readonly LaneWork[], lanes: Room): LaneStep | undefined {
  const last = work.findLastIndex(({ isDone }) => !isDone)
  if (last < 0) return undefined
  const width = Math.min(work.length, powerOfTwo(last + 1))
  const starts = work
    .slice(0, width)
    .map((each, lane) => (each.isDone ? undefined : each.startAfter(lanes.read(lane))))
  const room = Math.min(...starts.map((start = 0) => lanes.capacity - start))
  let best: LaneStep | undefined
  let speed = 0
  for (const T of lengths) {
    if (best && (T > room || T * width > mostRows)) break
    const chunks = chunksOf(work, starts, T)
    const read = chunks.reduce((sum, chunk) => sum + (chunk ? chunk.end - chunk.start : 0), 0)
    if (read / (stepCost + T * width) < speed) continue
    speed = read / (stepCost + T * width)
    best = { T, chunks }
  }
  return best
}

function chunksOf(
  work: readonly LaneWork[],
  starts: readonly (number | undefined)[],
  T: number,
): (Chunk | undefined)[] {
  let most = mostWanted
  return starts.map((start, lane) => {
    const chunk = start === undefined ? undefined : work[lane]?.chunk(start, T, most)
    most -= chunk?.wanted.length ?? 0
    return chunk
  })
}

/** The order of lanes in which those that have work come first, if it spares more than moving them costs:
 *  about as much as two steps. */
export function closedUp(
  work: readonly LaneWork[],
  { T, chunks }: LaneStep,
): readonly number[] | undefined {
  const isBusy = (lane: number): boolean => work[lane]?.isDone === false
  const all = [...work.keys()]
  const busy = all.filter(isBusy)
  const spared = (chunks.length - powerOfTwo(busy.length)) * T
  return spared > 2 * stepCost ? [...busy, ...all.filter((lane) => !isBusy(lane))] : undefined
}
