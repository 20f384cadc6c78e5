// What is read where scores are asked for: passes over texts, in which each token after the same ones is
// read once; and which of them one sequence reads after another, which go side by side.
import { sharedLength } from "./ids.ts"

/** Tokens of which those from `from` on are scored, each after all before it. */
export interface Continued {
  readonly ids: readonly number[]
  /** At least 1: nothing is known of a first token. */
  readonly from: number
}

/** What is asked of the logits after a row, and for whom: as token `at` of those that are scored. */
export interface Wanted {
  readonly row: number
  readonly target: number
  readonly takers: readonly { readonly request: number; readonly at: number }[]
}

/** Tokens that are read from where they part from those of the pass before. */
export interface Pass {
  readonly ids: readonly number[]
  /** Tokens that the one before has too. */
  readonly shared: number
  /** By rows. */
  readonly wanted: readonly Wanted[]
}

/** Passes that one sequence reads one after another. */
export type Run = readonly Pass[]

/** Runs that all begin with the same tokens. */
export interface Family {
  readonly prefix: readonly number[]
  readonly runs: readonly Run[]
}

/** Of a pass, the part that may be read twice so that it goes beside the one before it. */
const readTwice = 1 / 8
/** Runs that are enough to go side by side. */
const enough = 8

interface OpenWanted extends Wanted {
  readonly takers: { readonly request: number; readonly at: number }[]
}

/** The passes that read what requests need, each token after the same ones once. */
export function passesOf(requests: readonly Continued[]): Pass[] {
  const reads = requests.map(({ ids }) => ids.slice(0, -1))
  const passes: { readonly ids: readonly number[]; readonly shared: number }[] = []
  const wantedOf: Map<string, OpenWanted>[] = []
  /** Of each position in the path, the pass that reads it. */
  const readers: number[] = []
  let path: readonly number[] = []
  for (const request of ordered([...reads.keys()], reads)) {
    const read = reads[request] as readonly number[]
    const shared = sharedLength(path, read)
    if (shared < read.length) {
      readers.length = shared
      for (let row = shared; row < read.length; row++) readers.push(passes.length)
      passes.push({ ids: read, shared })
      wantedOf.push(new Map())
      path = read
    }
    const { ids, from } = requests[request] as Continued
    for (let i = from; i < ids.length; i++) {
      const wanted = wantedOf[readers[i - 1] as number] as Map<string, OpenWanted>
      const [row, target] = [i - 1, ids[i] as number]
      const key = `${row} ${target}`
      const known = wanted.get(key) ?? { row, target, takers: [] }
      known.takers.push({ request, at: i - from })
      wanted.set(key, known)
    }
  }
  return passes.map((pass, i) => {
    const wanted = [...(wantedOf[i] as Map<string, Wanted>).values()]
    return { ...pass, wanted: wanted.sort((a, b) => a.row - b.row) }
  })
}

/** Those that begin alike next to each other, as in a tree, and of what parts the longest first: what
 *  another one begins with comes after it. */
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

/** Passes in families: all of them in one, unless it has few runs, and one of these is a family by itself,
 *  such as all questions after the same examples. */
export function familiesOf(passes: readonly Pass[]): Family[] {
  const [first] = passes
  if (!first) return []
  const common = commonOf(passes)
  const runs = runsOf(passes, common)
  const prefix = first.ids.slice(0, common)
  const isFamily = (run: Run): boolean => runsOf(run, commonOf(run)).length >= enough
  const large = runs.length < enough ? runs.filter(isFamily) : []
  const others = runs.filter((run) => !large.includes(run))
  const rest = others.length > 0 ? [{ prefix, runs: others }] : []
  return [...large.flatMap(familiesOf), ...rest]
}

/** How many tokens all of them begin with. */
function commonOf([first, ...others]: readonly Pass[]): number {
  return others.reduce((least, { shared }) => Math.min(least, shared), first?.ids.length ?? 0)
}

/** Passes after `common` tokens, parted where little of the next one is in the one before. */
function runsOf(passes: readonly Pass[], common: number): Run[] {
  const runs: Pass[][] = []
  for (const pass of passes) {
    const { ids, shared } = pass
    const isNew = shared - common <= (ids.length - common) * readTwice
    if (isNew || runs.length === 0) runs.push([pass])
    else runs.at(-1)?.push(pass)
  }
  return runs
}
