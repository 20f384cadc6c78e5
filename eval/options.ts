// What may be asked of an evaluation, and whether it makes sense.
import { checkNumber, show } from "../model/json.ts"
import type { Plan } from "./plan.ts"
import type { Sample } from "./scoring.ts"
import type { Group, Task } from "./types.ts"

/** How far a task is. */
export interface EvaluationProgress {
  readonly task: string
  /** Documents of the task that are done, and all of them. */
  readonly done: number
  readonly of: number
  /** The same of all tasks. */
  readonly allDone: number
  readonly allOf: number
}

/** What is evaluated, on what, and what is heard of it. */
export interface EvaluateOptions {
  /** Names of tasks and groups, paths of YAML files, or tasks of one's own. */
  readonly tasks: readonly (string | Task | Group)[]
  /** Examples before each question: for all tasks, or by the name of a task or group; default the task's. */
  readonly shots?: number | Readonly<Record<string, number>>
  /** The folder that holds TASK/SPLIT.jsonl, .json or .parquet, or repositories of the hub; default the cache
   *  of the hub. */
  readonly data?: string | URL
  /** Documents of each task: the first so many, or below 1 that part of them. */
  readonly limit?: number
  /** Every `of`-th document, from number `index` (from 0) on. */
  readonly shard?: { readonly index: number; readonly of: number }
  /** Requests that are given to the Scorer at a time, about; default 256, fewer of long texts. */
  readonly requestsAtOnce?: number
  /** Of the bootstrap, for the standard error of perplexities; default 100,000, as in the original. */
  readonly bootstrapIterations?: number
  readonly signal?: AbortSignal
  /** Called after each batch of documents. */
  onProgress?(progress: EvaluationProgress): void
  /** What is unusual and no error, such as a number of rows that is not the published one. */
  onNotice?(text: string): void
  /** Called with a line of the log for each document, and filter, in order. */
  onSample?(task: string, sample: Sample): void | Promise<void>
  /** Lines of an earlier log of a task: what they answer is not asked again. */
  previous?(task: string): AsyncIterable<Sample> | Iterable<Sample>
  /** Called for a task whose files are not there, which is left out; without it that is an error. */
  onMissing?(task: string, message: string): void
}

/** Throws RangeError or TypeError that names the option. */
export function checkOptions(options: EvaluateOptions, { hierarchy, tasks }: Plan): void {
  const { limit, shots, shard, requestsAtOnce = 1, bootstrapIterations = 0 } = options
  if (limit !== undefined) checkNumber("limit", limit, Number.MIN_VALUE, 2 ** 31, false)
  checkNumber("requestsAtOnce", requestsAtOnce, 1, 2 ** 31, true)
  checkNumber("bootstrapIterations", bootstrapIterations, 0, 1e9, true)
  if (shard) {
    checkNumber("shard.of", shard.of, 1, 1e6, true)
    checkNumber("shard.index", shard.index, 0, shard.of - 1, true)
  }
  const counts: Readonly<Record<string, number>> =
    typeof shots === "object" ? shots : { shots: shots ?? 0 }
  const names = new Set(["shots", ...hierarchy.keys(), ...tasks.map(({ name }) => name)])
  for (const [name, count] of Object.entries(counts)) {
    if (!names.has(name)) throw new RangeError(`shots: there is no task ${show(name)} here`)
    checkNumber(name === "shots" ? "shots" : `shots.${name}`, count, 0, 1000, true)
  }
}

/** A task's own number of shots where that is 0, else what is asked for: the nearest group's. */
export function shotsOf(task: Task, { shots }: EvaluateOptions, { hierarchy }: Plan): number {
  if (task.shots === 0) return 0
  if (typeof shots !== "object") return shots ?? task.shots ?? 0
  const groupOf = (name: string): string | undefined =>
    [...hierarchy].findLast(([, members]) => members.includes(name))?.[0]
  for (let name: string | undefined = task.name; name !== undefined; name = groupOf(name)) {
    const own = shots[name]
    if (own !== undefined) return own
  }
  return task.shots ?? 0
}
