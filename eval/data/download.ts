// The data of tasks from the hub into its cache, where an evaluation finds it: the files as they were
// published, or where these are a program, as the hub converts them.
import {
  datasetTree,
  type FileTree,
  HubError,
  hubSettings,
  type Waiting,
} from "../../model/index.ts"
import { planOf } from "../plan.ts"
import type { Group, Task } from "../types.ts"
import { evaluatedSplit, poolSplit } from "./documents.ts"
import { filesAmong } from "./find.ts"

/** What came of a repository, or was there. */
export interface Downloaded {
  readonly repository: string
  readonly revision: string
  readonly tasks: readonly string[]
  readonly files: readonly string[]
  readonly bytes: number
}

interface DownloadOptions extends Waiting {
  readonly tasks: readonly (string | Task | Group)[]
  /** The folder of the cache, in place of the environment's. */
  readonly cache?: string | undefined
}

/** As published, and as the hub converts it. */
const revisions = ["main", "refs/convert/parquet"]

/** Files of a repository that have been asked for. */
interface Opened {
  readonly tree: FileTree
  readonly names: Promise<readonly string[]>
  readonly tasks: Set<string>
  readonly bytes: Map<string, number>
}

/**
 * Downloads the split that is evaluated of each task, and the one that its examples are from. Throws
 * RangeError for a task whose data is not on the hub; HubError where the hub refuses it; Error where no
 * file is found, or does not come.
 */
export async function downloadData({
  tasks,
  cache,
  ...waiting
}: DownloadOptions): Promise<readonly Downloaded[]> {
  const plan = planOf(tasks)
  for (const task of plan.tasks) checkOnHub(task)
  const repositories = new Map<string, Opened>()
  const opened = (repository: string, revision: string): Opened => {
    const key = `${repository}@${revision}`
    const known = repositories.get(key)
    if (known) return known
    const tree = datasetTree(repository, { ...waiting, revision, cache })
    const names = Promise.resolve(tree.list?.() ?? [])
    const made = { tree, names, tasks: new Set<string>(), bytes: new Map<string, number>() }
    repositories.set(key, made)
    return made
  }
  for (const task of plan.tasks) {
    const { splits } = task.source
    for (const split of new Set([evaluatedSplit(task), ...examplesOf(task, poolSplit(splits))])) {
      const { from, files } = await placeOf(task, split, opened)
      from.tasks.add(task.name)
      for (const file of files) {
        if (!from.bytes.has(file)) from.bytes.set(file, await fetched(from.tree, file))
      }
    }
  }
  return [...repositories].flatMap(([key, { tasks, bytes }]) => {
    const [repository = "", revision = ""] = key.split("@")
    const sum = [...bytes.values()].reduce((a, b) => a + b, 0)
    const own = { repository, revision, tasks: [...tasks], files: [...bytes.keys()], bytes: sum }
    return own.files.length > 0 ? [own] : []
  })
}

/** None of a task that never has examples. */
const examplesOf = ({ shots }: Task, split: string): string[] => (shots === 0 ? [] : [split])

function checkOnHub({ name, source: { hub = [], rows, paths } }: Task): void {
  if (rows || paths)
    throw new RangeError(`${name} has its data with it: there is nothing to download`)
  if (hub.length > 0) return
  throw new RangeError(`${name}: its data is not on the hub. Give the folder of its files as data`)
}

/** Where a split is: in the first of a task's repositories that has it. Throws what the first one said. */
async function placeOf(
  { name, source }: Task,
  split: string,
  opened: (repository: string, revision: string) => Opened,
): Promise<{ readonly from: Opened; readonly files: readonly string[] }> {
  const faults: HubError[] = []
  const answered = new Set<string>()
  for (const repository of source.hub ?? []) {
    for (const revision of revisions) {
      const from = opened(repository, revision)
      try {
        const files = filesAmong(await from.names, source, split)
        if (files.length > 0) return { from, files }
        answered.add(repository)
      } catch (error) {
        if (!(error instanceof HubError) || error.fault === "server") throw error
        faults.push(error)
        if (error.fault !== "revision") break
      }
    }
  }
  if (answered.size === 0 && faults[0]) throw faults[0]
  const where = hubSettings().isOffline ? "in the cache, and HF_HUB_OFFLINE is set" : "on the hub"
  const named = [...answered].join(" or ")
  throw new Error(`${name}: ${named} has no file of the split ${split} ${where}`)
}

/** Downloads a file, if it is not there: its bytes. */
async function fetched(tree: FileTree, name: string): Promise<number> {
  const file = await tree.open(name)
  await file.close()
  return file.size
}
