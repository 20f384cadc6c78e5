// What is left to ask: the documents of each task, what is asked about each, and what an earlier log has
// answered already.
import { fromNode } from "../engine/node.ts"
import { pathOf } from "../model/files/source.ts"
import { evaluatedSplit, type Item, MissingData, openLibrary, poolSplit } from "./data/documents.ts"
import { type EvaluateOptions, shotsOf } from "./options.ts"
import type { Plan } from "./plan.ts"
import { argumentsOf, fromLog, type Sample, scored } from "./scoring.ts"
import { leadsOf } from "./shots.ts"
import type { Request, Task, Value } from "./types.ts"

/** A task with its documents. */
export interface Prepared {
  readonly task: Task
  readonly shots: number
  readonly items: readonly Item[]
  readonly pool: readonly Item[]
  /** Whether a document is one of this shard's. */
  isOwn(id: number): boolean
  readonly of: number
  /** By "METRIC,FILTER", at the document's number. */
  readonly values: Map<string, (Value | undefined)[]>
  /** Numbers of documents. */
  readonly isDone: Set<number>
}

/** Reads and checks the data of all tasks. */
export async function prepare(plan: Plan, options: EvaluateOptions): Promise<Prepared[]> {
  const said = new Set<string>()
  const notice = (text: string): void => {
    if (!said.has(text)) options.onNotice?.(text)
    said.add(text)
  }
  const data = options.data === undefined ? undefined : pathOf(options.data)
  if (data !== undefined) checkFolder(data)
  const library = openLibrary(data, notice)
  const all: Prepared[] = []
  let limit = options.limit
  for (const task of plan.tasks) {
    const shots = shotsOf(task, options, plan)
    try {
      const items = await library.items(task, evaluatedSplit(task))
      const pool = shots > 0 ? await library.items(task, poolSplit(task.source.splits)) : []
      // A part of the first task's becomes a number, which the original keeps for all others.
      if (limit !== undefined) {
        limit = limit < 1 ? Math.ceil(items.length * limit) : Math.floor(limit)
      }
      all.push(preparedOf(task, shots, items.slice(0, limit), pool, options))
    } catch (error) {
      if (!(error instanceof MissingData) || !options.onMissing) throw error
      options.onMissing(task.name, error.message)
    }
  }
  if (all.length > 0) return all
  throw new Error(
    `There is no data of any task in ${data ?? "the hub's cache. Download it, or give a folder as data"}`,
  )
}

/** Throws Error for what is no folder: each task would say that its files are not there. */
function checkFolder(data: string): void {
  const found = fromNode("node:fs").statSync(data, { throwIfNoEntry: false })
  if (found?.isDirectory()) return
  throw new Error(
    `data: ${data} is ${found ? "no folder" : "not there"}. Give the folder of the data`,
  )
}

function preparedOf(
  task: Task,
  shots: number,
  items: readonly Item[],
  pool: readonly Item[],
  { shard: { index, of } = { index: 0, of: 1 } }: EvaluateOptions,
): Prepared {
  const isOwn = (id: number): boolean => id % of === index
  const count = items.filter((_, id) => isOwn(id)).length
  // Fails now rather than when the task's turn comes.
  leadsOf(task, items, pool, shots).next()
  return { task, shots, items, pool, isOwn, of: count, values: new Map(), isDone: new Set() }
}

/** A document, what is asked about it, and its number. */
export interface Asked {
  readonly id: number
  readonly item: Item
  readonly requests: readonly Request[]
}

/** Documents of this shard, in order. */
export function* askedOf({ task, items, pool, shots, isOwn }: Prepared): Generator<Asked> {
  const leads = leadsOf(task, items, pool, shots)
  for (const [id, item] of items.entries()) {
    const lead = leads.next().value as string
    if (!isOwn(id)) continue
    const requests = task.requests(item.document, lead)
    for (const each of requests) {
      if (each.kind !== "logLikelihood" || each.continuation !== "") continue
      throw new RangeError(`${item.place}: ${task.name}: a continuation is empty`)
    }
    yield { id, item, requests }
  }
}

/** What is kept of a line of a log while the others are read: contexts with examples are long. */
interface Logged extends Pick<Sample, "resps"> {
  readonly asked: string
}

/** Tells what was asked from anything else. */
const digestOf = (asked: Sample["arguments"]): string =>
  fromNode("node:crypto").createHash("sha256").update(JSON.stringify(asked)).digest("base64")

/** Takes the answers of an earlier log. Throws RangeError where it was asked something else. */
export async function takePrevious(
  prepared: Prepared,
  { previous }: EvaluateOptions,
): Promise<void> {
  if (!previous) return
  const { task } = prepared
  const logged = new Map<number, Logged>()
  for await (const { doc_id, resps, arguments: asked } of previous(task.name)) {
    logged.set(doc_id, { asked: digestOf(asked), resps })
  }
  if (logged.size === 0) return
  for (const { id, item, requests } of askedOf(prepared)) {
    const sample = logged.get(id)
    if (!sample) continue
    if (digestOf(requests.map(argumentsOf)) !== sample.asked) {
      throw new RangeError(
        `the log of ${task.name} asks something else about document ${id}: it was made with other ` +
          "data or shots. Give another folder",
      )
    }
    const answers = requests.map(({ kind }, i) => fromLog(kind, sample.resps[i] ?? []))
    keep(prepared, id, scored(task, id, item, requests, answers).values)
  }
}

/** Documents of this shard that are not done. */
export const leftOf = ({ items, isOwn, isDone }: Prepared): number =>
  items.filter((_, id) => isOwn(id) && !isDone.has(id)).length

/** Notes the metrics of a document. */
export function keep(
  prepared: Prepared,
  id: number,
  values: readonly (readonly [string, Value])[],
): void {
  for (const [key, value] of values) {
    const all = prepared.values.get(key) ?? []
    all[id] = value
    prepared.values.set(key, all)
  }
  prepared.isDone.add(id)
}

/** What is known of a task's documents, as another process takes it. */
interface Known {
  readonly ids: readonly number[]
  /** By "METRIC,FILTER", of each of these documents; null where it has none. */
  readonly values: readonly (readonly [key: string, values: readonly (Value | null)[]])[]
}

/** JSON has neither infinities nor NaN: these are texts there. */
const spelled = (_: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? String(value) : value
const readBack = (value: Value): Value =>
  typeof value === "object" ? [Number(value[0]), Number(value[1])] : Number(value)

/** Of all tasks, as a text. */
export const knownText = (all: readonly Prepared[]): string =>
  JSON.stringify(all.map(knownOf), spelled)

function knownOf({ values, isDone }: Prepared): Known {
  const ids = [...isDone]
  return { ids, values: [...values].map(([key, own]) => [key, ids.map((id) => own[id] ?? null)]) }
}

/** Takes what another process with the same tasks and data knows. */
export function takeKnown(all: readonly Prepared[], text: string): void {
  for (const [i, { ids, values }] of (JSON.parse(text) as Known[]).entries()) {
    const prepared = all[i] as Prepared
    for (const [n, id] of ids.entries()) {
      const own = values.flatMap(([key, found]): [string, Value][] => {
        const value = found[n] ?? null
        return value === null ? [] : [[key, readBack(value)]]
      })
      keep(prepared, id, own)
    }
  }
}
