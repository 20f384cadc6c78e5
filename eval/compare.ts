// Whether one model is better than another: the differences on the documents that both were asked about.
// A difference of paired scores varies less than the scores do, so that small ones can be told from chance.
import { fromNode } from "../engine/node.ts"
import { contentOf, openFile } from "../model/index.ts"
import { isObject, parseJson, show } from "../model/json.ts"
import { PythonRandom } from "../model/python/random.ts"
import { sampleFiles, samplesIn } from "./log.ts"
import { deviation, mean } from "./metrics.ts"

/** What both say of a task, or of all tasks of a group, by one of their metrics. */
export interface Difference {
  readonly task: string
  readonly metric: string
  readonly documents: number
  readonly first: number
  readonly second: number
  /** Second less first, its standard error, and where 95 of 100 bootstrapped differences lie. */
  readonly difference: number
  readonly error: number | "N/A"
  readonly low: number
  readonly high: number
  /** Of scores that are 0 or 1: documents that only the first, and only the second, has right, and how
   *  likely at least so uneven a split is of models that are alike. */
  readonly onlyFirst?: number
  readonly onlySecond?: number
  readonly mcnemar?: number
}

interface CompareOptions {
  readonly seed: number
  readonly iterations: number
}

/** An evaluation as it lies on a disk. */
interface Written {
  readonly folder: string
  readonly metrics: ReadonlyMap<string, readonly string[]>
  /** Members of groups, which may be groups themselves. */
  readonly groups: ReadonlyMap<string, readonly string[]>
}

/**
 * The differences of two evaluations, given by their folders or their results.json, whose logs lie beside
 * it. Throws SyntaxError or TypeError for what are no results, RangeError for logs of other documents.
 */
export async function compareEvaluations(
  first: string,
  second: string,
  options: CompareOptions,
): Promise<readonly Difference[]> {
  const [a, b] = [await written(first), await written(second)]
  const scores = new Map<string, Scored>()
  for (const [task, metrics] of a.metrics) {
    if (!b.metrics.has(task)) continue
    const [own, other] = [await scoresIn(a.folder, task), await scoresIn(b.folder, task)]
    scores.set(task, byMetric(metrics, pairsOf(task, own, other)))
  }
  for (const name of a.groups.keys()) {
    const members = leavesOf(name, a.groups).flatMap((task) => scores.get(task) ?? [])
    if (members.length > 1) scores.set(name, pooled(members))
  }
  const differences = [...scores].flatMap(([task, found]) =>
    [...found].map(([metric, pairs]) => ({ task, metric, ...differenceOf(pairs, options) })),
  )
  if (differences.length > 0) return differences
  throw new RangeError(`${first} and ${second} have no task in common`)
}

/** Of a document that both were asked about. */
type Pair = readonly [first: number, second: number]

/** Scores of a task's documents, by "METRIC,FILTER". */
type Scored = ReadonlyMap<string, readonly Pair[]>

function byMetric(
  metrics: readonly string[],
  pairs: readonly (readonly [Scores, Scores])[],
): Scored {
  const found = new Map<string, readonly Pair[]>()
  for (const key of metrics) {
    const [metric = "", filter = ""] = key.split(",")
    const both = pairs.filter(([x]) => x.filter === undefined || x.filter === filter)
    const values = both.map(([x, y]) => [x.scores[metric], y.scores[metric]] as const)
    if (values.length > 0 && values.every(areNumbers)) found.set(key, values as readonly Pair[])
  }
  return found
}

/** The tasks below a group; none of one that is within itself. */
function leavesOf(
  name: string,
  groups: Written["groups"],
  within: readonly string[] = [],
): readonly string[] {
  if (within.includes(name)) return []
  const members = groups.get(name)
  return members?.flatMap((one) => leavesOf(one, groups, [...within, name])) ?? [name]
}

/** The documents of all members, as a group's metric counts them. */
function pooled(members: readonly Scored[]): Scored {
  const all = new Map<string, Pair[]>()
  for (const [key, pairs] of members.flatMap((each) => [...each])) {
    all.set(key, [...(all.get(key) ?? []), ...pairs])
  }
  return all
}

const areNumbers = (pair: readonly unknown[]): boolean => pair.every((x) => typeof x === "number")

async function written(path: string): Promise<Written> {
  const { statSync } = fromNode("node:fs")
  const { dirname, join } = fromNode("node:path")
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
  const file = isFolder ? join(path, "results.json") : path
  const value = parseJson(await contentOf(await openFile(file), 1 << 26), file)
  const results = isObject(value) ? value.results : undefined
  const inside = (field: string) => (isObject(value) && isObject(value[field]) ? value[field] : {})
  const [groups, members] = [inside("groups"), inside("group_subtasks")]
  if (!isObject(results))
    throw new TypeError(`${file} has results ${show(results)}, expected tasks`)
  const tasks = Object.entries(results).filter(([name]) => !Object.hasOwn(groups, name))
  const keys = (entry: unknown): string[] =>
    Object.keys(isObject(entry) ? entry : {}).filter((key) => /^[^,]+(?<!_stderr),/.test(key))
  return {
    folder: dirname(file),
    metrics: new Map(tasks.map(([name, entry]) => [name, keys(entry)])),
    groups: new Map(Object.keys(groups).map((name) => [name, namesIn(members[name])])),
  }
}

const namesIn = (list: unknown): readonly string[] =>
  Array.isArray(list) ? list.filter((name) => typeof name === "string") : []

/** What a log says of a document. */
interface Scores {
  readonly doc: string
  readonly filter: string | undefined
  readonly scores: Readonly<Record<string, unknown>>
}

/** By number and filter. Throws Error where a task has no log. */
async function scoresIn(folder: string, task: string): Promise<ReadonlyMap<string, Scores>> {
  const files = await sampleFiles(folder, task)
  if (files.length === 0) {
    throw new Error(
      `${folder} has no samples_${task}.jsonl: evaluate with --out, which keeps a log`,
    )
  }
  const all = new Map<string, Scores>()
  for (const file of files) {
    for await (const { doc_id, doc, filter, arguments: asked, resps, ...scores } of samplesIn(
      file,
    )) {
      all.set(`${doc_id} ${filter ?? ""}`, { doc: JSON.stringify(doc), filter, scores })
    }
  }
  return all
}

/** Documents that both have, in the order of the first. Throws RangeError where they differ. */
function pairsOf(
  task: string,
  first: ReadonlyMap<string, Scores>,
  second: ReadonlyMap<string, Scores>,
): readonly (readonly [Scores, Scores])[] {
  const pairs = [...first].flatMap(([key, own]) => {
    const other = second.get(key)
    if (other && other.doc !== own.doc) {
      throw new RangeError(`${task}: document ${key.trim()} of the two is not the same`)
    }
    return other ? [[own, other] as const] : []
  })
  if (pairs.length > 0) return pairs
  throw new RangeError(`${task}: the two have no document in common`)
}

function differenceOf(
  pairs: readonly (readonly [number, number])[],
  { seed, iterations }: CompareOptions,
): Omit<Difference, "task" | "metric"> {
  const differences = pairs.map(([x, y]) => y - x)
  const isBinary = pairs.flat().every((x) => x === 0 || x === 1)
  const onlyFirst = differences.filter((x) => x < 0).length
  const onlySecond = differences.filter((x) => x > 0).length
  const documents = pairs.length
  return {
    documents,
    first: mean(pairs.map(([x]) => x)),
    second: mean(pairs.map(([, y]) => y)),
    difference: mean(differences),
    error: documents > 1 ? deviation(differences) / Math.sqrt(documents) : "N/A",
    ...interval(differences, seed, iterations),
    ...(isBinary ? { onlyFirst, onlySecond, mcnemar: signTest(onlyFirst, onlySecond) } : {}),
  }
}

/** The middle 95 of 100 means of documents drawn with replacement. */
function interval(differences: readonly number[], seed: number, iterations: number) {
  const random = new PythonRandom(seed)
  const count = differences.length
  const means = Float64Array.from({ length: iterations }, () => {
    let sum = 0
    for (let i = 0; i < count; i++) sum += differences[random.below(count)] as number
    return sum / count
  }).sort()
  const at = (part: number): number => means[Math.round(part * (iterations - 1))] as number
  return { low: at(0.025), high: at(0.975) }
}

/** McNemar's test, exact: the chance of a split of the documents on which two models differ that is at
 *  least so uneven, where each is as likely to be right.  McNemar 1947 */
export function signTest(a: number, b: number): number {
  const n = a + b
  let sum = 0
  // Logarithms of n over i, since the numbers themselves are too great from a thousand on.
  let ways = 0
  for (let i = 0; i <= Math.min(a, b); i++) {
    sum += Math.exp(ways - n * Math.LN2)
    ways += Math.log(n - i) - Math.log(i + 1)
  }
  return Math.min(1, 2 * sum)
}
