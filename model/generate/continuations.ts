// How likely continuations are after their contexts, many in one call: what several begin with is read
// once, and of the logits nothing but what is asked of them leaves the device.
import { checkScored, sharedLength } from "./ids.ts"
import { chunkOf } from "./prefill.ts"
import { greedySampling, Session } from "./session.ts"
import type { Source } from "./source.ts"
import { nextTurn } from "./turn.ts"

/** Tokens of which those from `from` on are scored, each after all before it. */
export interface Continued {
  readonly ids: readonly number[]
  /** At least 1: nothing is known of a first token. */
  readonly from: number
}

export interface ContinuationScore {
  /** Natural logarithm of the probability of all tokens that are scored. */
  readonly logProb: number
  /** Whether each of them is the likeliest there. */
  readonly isGreedy: boolean
}

export interface ScoringWork {
  readonly signal?: AbortSignal | undefined
  /** Called with the number of each one in the list, as soon as it is scored. */
  onScored?(request: number): void
}

/** What is asked of the logits after a row, and for whom: as token `at` of those that are scored. */
interface Wanted {
  readonly row: number
  readonly target: number
  readonly takers: { readonly request: number; readonly at: number }[]
}

/** Tokens that are read from where they part from those of the pass before. */
interface Pass {
  readonly ids: readonly number[]
  readonly wanted: Map<string, Wanted>
}

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
      if (tally.take(at, logProb, likeliest === target)) onScored?.(request)
    }
  }
  for (const pass of passesOf(requests)) {
    signal?.throwIfAborted()
    await source.usage.reading(() => source.residence.during(() => run(pass, source, take, signal)))
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

/** The passes that read what requests need, each token after the same ones once. */
function passesOf(requests: readonly Continued[]): Pass[] {
  const reads = requests.map(({ ids }) => ids.slice(0, -1))
  const passes: Pass[] = []
  /** Of each position in the path, the pass that reads it. */
  const readers: Pass[] = []
  let path: readonly number[] = []
  for (const request of ordered([...reads.keys()], reads)) {
    const read = reads[request] as readonly number[]
    const shared = sharedLength(path, read)
    if (shared < read.length) {
      const pass = { ids: read, wanted: new Map() }
      passes.push(pass)
      readers.length = shared
      for (let row = shared; row < read.length; row++) readers.push(pass)
      path = read
    }
    const { ids, from } = requests[request] as Continued
    for (let i = from; i < ids.length; i++) {
      const { wanted } = readers[i - 1] as Pass
      const [row, target] = [i - 1, ids[i] as number]
      const key = `${row} ${target}`
      const known = wanted.get(key) ?? { row, target, takers: [] }
      known.takers.push({ request, at: i - from })
      wanted.set(key, known)
    }
  }
  return passes
}

/** Those that begin alike next to each other, as in a tree, and of what parts the longest first: equal
 *  lengths share a recorded plan, and what another one begins with comes after it. */
function ordered(
  some: readonly number[],
  reads: readonly (readonly number[])[],
  depth = 0,
): readonly number[] {
  const tokenAt = (request: number, at: number) => reads[request]?.[at]
  const [first = 0] = some
  let at = depth
  for (; ; at++) {
    const token = tokenAt(first, at)
    if (!some.every((request) => tokenAt(request, at) === token)) break
    if (token === undefined) return some
  }
  const groups = new Map<number | undefined, number[]>()
  for (const request of some) {
    const group = groups.get(tokenAt(request, at))
    if (group) group.push(request)
    else groups.set(tokenAt(request, at), [request])
  }
  const longest = (group: readonly number[]): number =>
    group.reduce((most, request) => Math.max(most, reads[request]?.length ?? 0), 0)
  return [...groups.values()]
    .map((group) => ({ group, length: longest(group) }))
    .sort((a, b) => b.length - a.length)
    .flatMap(({ group }) => ordered(group, reads, at + 1))
}

/** What a session's cache holds, of which weights, on which device. */
interface Read {
  readonly ids: readonly number[]
  readonly writes: number
  readonly lost: number
}

/** Sessions that nothing but passes use keep what they have read from one call to the next. */
const readBy = new WeakMap<Session, Read>()

async function run(
  { ids, wanted }: Pass,
  { decoder, backend, options, pool, usage, residence }: Source,
  take: Take,
  signal: AbortSignal | undefined,
): Promise<void> {
  const session = pool.acquire("continuations", () => new Session(decoder, backend, options))
  try {
    const known = readBy.get(session)
    const { writes } = usage
    const { lost } = residence
    const isThere = known?.writes === writes && known.lost === lost
    const shared = isThere ? sharedLength(known.ids, ids) : 0
    readBy.delete(session)
    session.begin(greedySampling, lost)
    for (const each of chunksOf(ids, shared, [...wanted.values()])) {
      await readChunk(session, each, take)
      await nextTurn()
      signal?.throwIfAborted()
    }
    readBy.set(session, { ids, writes, lost })
  } finally {
    pool.release(session)
  }
}

/** Tokens of one step, and what is wanted of them. */
interface Chunk {
  readonly tokens: readonly number[]
  readonly start: number
  readonly wanted: readonly Wanted[]
}

/** Steps that read what is new, or wanted: a row is read again where not all that is wanted of it fits. */
function* chunksOf(
  ids: readonly number[],
  shared: number,
  unsorted: readonly Wanted[],
): Generator<Chunk> {
  const wanted = unsorted.toSorted((a, b) => a.row - b.row)
  let read = shared
  for (let done = 0; done < wanted.length; ) {
    const start = Math.min(read, wanted[done]?.row as number)
    const most = Math.min(start + chunkOf.targets, ids.length)
    const next = wanted.slice(done, done + chunkOf.scores).filter(({ row }) => row < most)
    const isFull = next.length === chunkOf.scores
    read = isFull ? (next[next.length - 1]?.row as number) + 1 : most
    done += next.length
    yield { tokens: ids.slice(start, read), start, wanted: next }
  }
}

async function readChunk(
  session: Session,
  { tokens, start, wanted }: Chunk,
  take: Take,
): Promise<void> {
  if (wanted.length === 0) return session.prefill(tokens, start, "nothing")
  const targets = wanted.map(({ target }) => target)
  const rows = wanted.map(({ row }) => row - start)
  const { logProbabilities, likeliest } = await session.score(tokens, start, targets, rows)
  for (const [i, each] of wanted.entries()) {
    take(each, logProbabilities[i] as number, likeliest[i] as number)
  }
}
