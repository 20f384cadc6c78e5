// Results in the shape in which lm-evaluation-harness writes them, so that its users' tools read them.
import { aggregate, type Member, pooled, type StandardError } from "./metrics.ts"
import type { Plan } from "./plan.ts"
import type { Task, Value } from "./types.ts"

/** Numbers by "METRIC,FILTER" and "METRIC_stderr,FILTER", and the name under `alias`. */
export interface TaskResults {
  readonly alias: string
  readonly [metric: string]: number | StandardError | string
}

/** What an evaluation found. */
export interface Results {
  readonly results: Readonly<Record<string, TaskResults>>
  readonly groups?: Readonly<Record<string, TaskResults>>
  readonly group_subtasks: Readonly<Record<string, readonly string[]>>
  readonly configs: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly versions: Readonly<Record<string, number>>
  readonly "n-shot": Readonly<Record<string, number>>
  readonly config: Readonly<Record<string, unknown>>
  /** The commit of the original whose results these equal. */
  readonly git_hash: string
  /** Where not all was evaluated: documents done, and all of them, by task. */
  readonly partial?: Readonly<Record<string, readonly [done: number, of: number]>>
}

/** What was found of a task. */
interface Tally {
  readonly task: Task
  readonly shots: number
  /** By "METRIC,FILTER", in the order of documents. */
  readonly values: ReadonlyMap<string, readonly Value[]>
  readonly done: number
  readonly of: number
}

/** Numbers of a task or group while they are put together. */
interface Numbers {
  readonly metrics: Map<string, Member>
}

/** `config`: what is said of the whole evaluation. */
export function resultsOf(
  plan: Plan,
  tallies: readonly Tally[],
  iterations: number,
  config: Results["config"],
): Results {
  const numbers = new Map(tallies.map((tally) => [tally.task.name, numbersOf(tally, iterations)]))
  // Groups after the groups within them.
  for (const [name, members] of [...plan.hierarchy].reverse()) {
    if (members.length > 0) numbers.set(name, groupNumbers(members, numbers))
  }
  const { results, groups } = listed(plan, numbers)
  const shots = new Map(tallies.map(({ task, shots }) => [task.name, shots]))
  for (const [name, [first = ""]] of plan.hierarchy) {
    // The first member may be a group, which has no number yet: the original's 0.
    if (first !== "") shots.set(name, shots.get(first) ?? 0)
  }
  const partial = tallies.filter(({ done, of }) => done < of)
  return {
    results,
    ...(Object.keys(groups).length > 0 ? { groups } : {}),
    group_subtasks: Object.fromEntries([...plan.hierarchy].reverse()),
    configs: byName(tallies.map((tally) => [tally.task.name, configOf(tally)])),
    versions: byName(tallies.map(({ task }) => [task.name, task.version ?? 0])),
    "n-shot": byName([...shots]),
    config,
    git_hash: "dc90fec",
    ...(partial.length > 0
      ? { partial: byName(partial.map(({ task, done, of }) => [task.name, [done, of] as const])) }
      : {}),
  }
}

/** In the order of code points. */
const byName = <T>(entries: readonly (readonly [string, T])[]): Record<string, T> =>
  Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)))

function numbersOf({ task, values }: Tally, iterations: number): Numbers {
  const metrics = new Map<string, Member>()
  for (const [key, all] of values) {
    if (all.length === 0) continue
    const { aggregation } = task.metrics[key.slice(0, key.lastIndexOf(","))] as {
      aggregation: "mean"
    }
    metrics.set(key, { ...aggregate(aggregation, all, iterations), size: all.length })
  }
  return { metrics }
}

function groupNumbers(members: readonly string[], all: ReadonlyMap<string, Numbers>): Numbers {
  const found = members.flatMap((name) => all.get(name) ?? [])
  const keys = new Set(found.flatMap(({ metrics }) => [...metrics.keys()]))
  const metrics = new Map<string, Member>()
  for (const key of keys) {
    metrics.set(key, pooled(found.flatMap((each) => each.metrics.get(key) ?? [])))
  }
  return { metrics }
}

/** Everything by name: what was asked for, and below a group its members by name, indented. */
function listed({ hierarchy, aliases }: Plan, numbers: ReadonlyMap<string, Numbers>) {
  const results: Record<string, TaskResults> = {}
  const groups: Record<string, TaskResults> = {}
  const add = (name: string, depth: number): void => {
    const found = numbers.get(name)
    const members = hierarchy.get(name) ?? []
    if (found) results[name] = entryOf(name, aliases.get(name), depth, found)
    if (found && members.length > 0) groups[name] = results[name] as TaskResults
    for (const member of [...members].sort()) add(member, depth + 1)
  }
  for (const name of hierarchy.keys()) if (!(name in results)) add(name, 0)
  return { results, groups }
}

function entryOf(
  name: string,
  alias: string | undefined,
  depth: number,
  { metrics }: Numbers,
): TaskResults {
  const own = { alias: `${depth > 0 ? `${" ".repeat(depth)}- ` : ""}${alias ?? name}` }
  const values = [...metrics].flatMap(([key, { value, error }]) => [
    [key, value] as const,
    [key.replace(",", "_stderr,"), error] as const,
  ])
  const entries = Object.fromEntries(values)
  // Where the original has it: first, where it was given.
  return alias === undefined ? { ...entries, ...own } : { ...own, ...entries }
}

/** What the original's YAML says of a task. */
function configOf({ task, shots }: Tally): Readonly<Record<string, unknown>> {
  const { source, metrics, alias, sampler } = task
  const { group, ...config } = task.config ?? {}
  const all: Record<string, unknown> = {
    task: task.name,
    group,
    task_alias: alias,
    dataset_path: source.hub?.[0],
    dataset_name: source.config,
    training_split: source.splits.training,
    validation_split: source.splits.validation,
    test_split: source.splits.test,
    fewshot_split: source.splits.fewshot,
    description: "",
    ...config,
    fewshot_delimiter: task.shotDelimiter ?? "\n\n",
    fewshot_config: sampler === undefined ? undefined : { sampler },
    num_fewshot: shots,
    metric_list: Object.entries(metrics).map(([metric, { aggregation, higherIsBetter }]) => ({
      metric,
      aggregation,
      higher_is_better: higherIsBetter,
    })),
    repeats: 1,
    metadata: { version: task.version ?? 0 },
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}
