// What is evaluated, as people type it: tasks, suites, shots, shards, and where the data and the log are.
import { InvalidArgumentError } from "commander"
import { demoFolder, demoTask } from "../../eval/demo.ts"
import type { Shard } from "../../eval/log.ts"
import type { Results } from "../../eval/results.ts"
import { optionsOf, type Suite, type SuiteName, suites } from "../../eval/suites.ts"
import { decimal } from "../../model/index.ts"
import { path, usageError, whole } from "./arguments.ts"
import { choice, toggle, under, type ValuesOf, valued } from "./flags.ts"
import { headings } from "./options.ts"

type Shots = number | Readonly<Record<string, number>>

const names = (text: string): string[] => text.split(",").map((name) => name.trim())

/** "5", or "arc_easy=25,mmlu=5". */
function shots(text: string): Shots {
  const count = whole(0, 1000)
  if (!text.includes("=")) return count(text)
  const entries = names(text).map((each) => {
    const [, task, number] = /^([^=]+)=(\d+)$/.exec(each) ?? []
    if (task !== undefined && number !== undefined) return [task, count(number)] as const
    throw new InvalidArgumentError("Expected a number, or TASK=NUMBER and so on.")
  })
  return Object.fromEntries(entries)
}

/** "2/4": the second of four. */
function shard(text: string): Shard {
  const [, number, of] = (/^(\d+)\/(\d+)$/.exec(text) ?? []).map(Number)
  if (number !== undefined && of !== undefined && number >= 1 && number <= of) {
    return { index: number - 1, of }
  }
  throw new InvalidArgumentError("Expected NUMBER/OF, such as 1/4.")
}

function limit(text: string): number {
  const value = decimal(text)
  if (value > 0 && Number.isFinite(value)) return value
  throw new InvalidArgumentError("Expected a number above 0.")
}

export const evaluationFlags = {
  ...under(headings.evaluation, {
    suite: choice(
      "the tasks of one of the paper's tables, with its shots",
      suites.map(({ name }) => name),
    ),
    paper: toggle("the suites of table 4, beside the paper's rows; with --suite, that one alone"),
    demo: toggle("small made-up documents that come with the package: see all of it in seconds"),
    tasks: valued("<names>", "tasks, separated by commas; a YAML file is a task too", names),
    shots: valued("<n>", "examples before each question, or TASK=NUMBER,…, with --tasks", shots),
    limit: valued("<n>", "the first documents of each task, or below 1 that part of them", limit),
    shard: valued("<i/n>", "every n-th document, from the i-th on: for several machines", shard),
  }),
  ...under(headings.data, {
    data: valued(
      "<folder>",
      "where TASK/SPLIT.jsonl, .json or .parquet are, default the cache of the hub (elm eval download)",
      path,
    ),
  }),
  ...under(headings.output, {
    out: valued("<folder>", "keep results.json, and a line of a log for each document", path),
    resume: toggle("go on with what --out has; where nothing is left, put it together"),
  }),
}

type Flags = ValuesOf<typeof evaluationFlags>

/** Tasks that are evaluated together: none of them twice. */
export interface Part {
  /** Folder of its log within --out, "" for that itself. */
  readonly name: string
  readonly tasks: readonly string[]
  readonly shots?: Shots
  /** Where its data is, in place of --data. */
  readonly data?: string
  /** Whether tasks without data are left out. */
  readonly isSuite: boolean
}

/** What is evaluated, and the suites whose rows are shown. Throws CommanderError for what does not go
 *  together. */
export function planOf(flags: Flags): { parts: readonly Part[]; shown: readonly Suite[] } {
  const { suite, paper, demo, tasks, shots, resume, out, data } = flags
  if (demo && (suite !== undefined || paper || tasks !== undefined || data !== undefined)) {
    throw usageError("--demo does not go with --suite, --paper, --tasks or --data")
  }
  if (tasks !== undefined && (suite !== undefined || paper)) {
    throw usageError("--tasks does not go with --suite or --paper")
  }
  if (shots !== undefined && tasks === undefined) throw usageError("--shots needs --tasks")
  if (resume && out === undefined) throw usageError("--resume needs --out")
  if (demo) return demoPlan()
  if (tasks) {
    const more = shots === undefined ? {} : { shots }
    return { parts: [{ name: "", tasks, isSuite: false, ...more }], shown: [] }
  }
  const named = suites.filter(({ name }) =>
    suite ? name === suite : paper && name !== "commonsense",
  )
  if (named.length === 0) throw usageError("give --tasks, --suite or --paper; --demo needs nothing")
  if (named.length === 1) {
    return { parts: [{ name: "", isSuite: true, ...optionsOf(named[0] as Suite) }], shown: named }
  }
  return { parts: partsOfTable4(), shown: named }
}

/** The first suite, and a task of one's own. */
function demoPlan(): ReturnType<typeof planOf> {
  const [suite] = suites as readonly [Suite]
  const data = demoFolder()
  const parts = [
    { name: suite.name, data, isSuite: true, ...optionsOf(suite) },
    { name: "own", data, isSuite: false, tasks: [demoTask()] },
  ]
  return { parts, shown: [suite] }
}

/** Table 4 without what two of its suites share: what has no examples, and what has them. */
function partsOfTable4(): readonly Part[] {
  const of = (name: SuiteName): Suite => suites.find((each) => each.name === name) as Suite
  const [zeroShot, more] = [of("zero-shot"), of("llm360")]
  const isNew = ({ task, shots }: Suite["columns"][number]): boolean =>
    !zeroShot.columns.some((each) => each.task === task && each.shots === shots)
  const rest = { ...more, columns: more.columns.filter(isNew) }
  return [
    { name: "zero-shot", isSuite: true, ...optionsOf(zeroShot) },
    { name: "few-shot", isSuite: true, ...optionsOf(rest) },
  ]
}

/** The results of a suite's tasks with its numbers of shots, in whichever part they are. What was asked for
 *  says how many these are: the original's results have 0 for a group of groups. */
export const ofSuite = (
  { columns }: Suite,
  parts: readonly Part[],
  found: readonly Results[],
): Results["results"] =>
  Object.fromEntries(
    columns.flatMap(({ task, shots }) => {
      const at = parts.findIndex(
        (part) => part.tasks.includes(task) && shotsIn(part, task) === shots,
      )
      const own = found[at]?.results[task]
      return own ? [[task, own] as const] : []
    }),
  )

const shotsIn = ({ shots }: Part, task: string): number | undefined =>
  typeof shots === "object" ? shots[task] : shots
