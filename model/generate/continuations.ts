// How likely continuations are after their contexts, many in one call: what several begin with is read
// once, several texts are read side by side, and of the logits nothing but what is asked of them leaves
// the device.
import { checkScored, sharedLength } from "./ids.ts"
import { closedUp, LaneWork, nextStep } from "./lane_work.ts"
import { type LaneStep, Lanes } from "./lanes.ts"
import {
  type Continued,
  type Family,
  familiesOf,
  passesOf,
  type Run,
  type Wanted,
} from "./passes.ts"
import { powerOfTwo } from "./prefill.ts"
import type { Source } from "./source.ts"

export interface ContinuationScore {
  /** Natural logarithm of the probability of all tokens that are scored. */
  readonly logProb: number
  /** Whether each of them is the likeliest there. */
  readonly isGreedy: boolean
}

export interface ScoringWork {
  readonly signal?: AbortSignal | undefined
  /** Called with the number of each one in the list, and its score, as soon as that is known. */
  onScored?(request: number, score: ContinuationScore): void
}

/** Lanes at most, and positions of the caches of all of them unless one alone has more. */
const mostLanes = 32
const lanePositions = 4096
/** Positions of the shortest caches. */
const leastCapacity = 128
/** Tokens that several texts begin with, from which on they are read once and copied. */
const worthCopying = 64

/**
 * The scores of many continuations, whose last tokens are not read: they may be of one token more than
 * the cache holds. Throws RangeError for more, for none, and for ids outside the vocabulary; the signal's
 * reason on abort.
 */
export async function scoreContinuations(
  source: Source,
  requests: readonly Continued[],
  { signal, onScored }: ScoringWork = {},
): Promise<ContinuationScore[]> {
  for (const request of requests) checkContinued(request, source)
  const tallies = requests.map(({ ids, from }) => new Tally(ids.length - from))
  const take: Take = ({ target, takers }, logProb, likeliest) => {
    for (const { request, at } of takers) {
      const tally = tallies[request] as Tally
      if (tally.take(at, logProb, likeliest === target)) onScored?.(request, tally.score)
    }
  }
  for (const family of familiesOf(passesOf(requests)).flatMap((one) => bySize(one, source))) {
    await readFamily(family, source, take, signal)
  }
  return tallies.map((tally) => tally.score)
}

type Take = (wanted: Wanted, logProb: number, likeliest: number) => void

function checkContinued({ ids, from }: Continued, { decoder, options }: Source): void {
  checkScored(ids, decoder.config, options.capacity + 1)
  if (Number.isInteger(from) && from >= 1 && from < ids.length) return
  throw new RangeError(
    `score: the first token that is scored is ${from} of ${ids.length}, expected 1 … ${ids.length - 1}`,
  )
}

/** What is known of one continuation. */
class Tally {
  readonly #logProbs: Float32Array
  #left: number
  #isGreedy = true

  constructor(count: number) {
    this.#logProbs = new Float32Array(count)
    this.#left = count
  }

  get score(): ContinuationScore {
    return { logProb: this.#logProbs.reduce((all, x) => all + x, 0), isGreedy: this.#isGreedy }
  }

  /** Whether it was the last that was missing. */
  take(at: number, logProb: number, isLikeliest: boolean): boolean {
    this.#logProbs[at] = logProb
    this.#isGreedy &&= isLikeliest
    this.#left--
    return this.#left === 0
  }
}

/** A family that is read in lanes of one capacity. */
interface SizedFamily extends Family {
  readonly capacity: number
}

/** Runs of nearly one length together, the longest first; unless what all begin with would be read for
 *  each of them. */
function bySize({ prefix, runs }: Family, { options }: Source): SizedFamily[] {
  const capacityOf = (some: readonly Run[]): number => {
    const longest = Math.max(leastCapacity, ...some.flat().map(({ ids }) => ids.length))
    return Math.min(options.capacity, powerOfTwo(longest))
  }
  if (prefix.length > worthCopying) return [{ prefix, runs, capacity: capacityOf(runs) }]
  const groups = new Map<number, Run[]>()
  for (const run of runs) {
    const capacity = capacityOf([run])
    groups.set(capacity, [...(groups.get(capacity) ?? []), run])
  }
  return [...groups]
    .map(([capacity, group]) => ({ prefix, runs: group, capacity }))
    .sort((a, b) => b.capacity - a.capacity)
}

async function readFamily(
  { prefix, runs, capacity }: SizedFamily,
  source: Source,
  take: Take,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { decoder, backend, options, pool } = source
  const room = Math.max(1, 2 ** Math.floor(Math.log2(lanePositions / capacity)))
  const width = Math.min(mostLanes, room, powerOfTwo(runs.length))
  const open = () => new Lanes(decoder, backend, { ...options, capacity })
  const lanes = await inMemory(source, async () => pool.acquire(`lanes ${capacity}`, open))
  const read = (some: readonly Run[]) => readRuns(some, lanes, source, take, signal)
  try {
    await inMemory(source, async () => lanes.widen(width), lanes)
    if (prefix.length * (runs.length - 1) > worthCopying) {
      const holds = (lane: number): boolean =>
        sharedLength(lanes.read(lane), prefix) === prefix.length
      const all = Array.from({ length: lanes.width }, (_, lane) => lane)
      if (!all.some(holds)) await read([[{ ids: prefix, shared: 0, wanted: [] }]])
      const from = all.find(holds)
      const copied = all.map((lane) => (lane < width && !holds(lane) ? (from ?? lane) : lane))
      if (copied.some((other, lane) => other !== lane)) {
        await inMemory(source, () => lanes.copy(copied), lanes)
      }
    }
    await read(runs)
  } finally {
    pool.release(lanes)
  }
}

/** Work while the weights are there, and nothing moves them; lanes have read with none but these. */
const inMemory = <T>({ usage, residence }: Source, work: () => Promise<T>, lanes?: Lanes) =>
  usage.reading(() =>
    residence.during(() => {
      lanes?.begin(usage.writes, residence.lost)
      return work()
    }),
  )

async function readRuns(
  runs: readonly Run[],
  lanes: Lanes,
  source: Source,
  take: Take,
  signal: AbortSignal | undefined,
): Promise<void> {
  const tokensOf = (run: Run): number =>
    run.reduce((sum, { ids, shared }, i) => sum + ids.length - (i > 0 ? shared : 0), 0)
  const queue = [...runs].sort((a, b) => tokensOf(b) - tokensOf(a))
  let work = Array.from({ length: lanes.width }, () => new LaneWork())
  const step = async (): Promise<void> => {
    const next = nextStep(work, lanes)
    if (!next) return
    const order = closedUp(work, next)
    if (order) {
      await lanes.copy(order)
      work = order.map((lane) => work[lane] as LaneWork)
      return step()
    }
    await readStep(next)
  }
  const readStep = async (next: LaneStep): Promise<void> => {
    const scored = await lanes.step(next)
    let at = 0
    for (const [lane, chunk] of next.chunks.entries()) {
      if (!chunk) continue
      work[lane]?.took(chunk)
      for (const each of chunk.wanted) {
        take(each, scored?.logProbabilities[at] as number, scored?.likeliest[at] as number)
        at++
      }
    }
  }
  for (;;) {
    signal?.throwIfAborted()
    for (const each of work) if (each.isDone) each.give(queue.shift() ?? [])
    if (work.every(({ isDone }) => isDone)) return
    await inMemory(source, step, lanes)
  }
}
