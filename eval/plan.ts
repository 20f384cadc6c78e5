// Which tasks are evaluated, in which order, and the groups over them.
import { show } from "../model/json.ts"
import { allTasks } from "./tasks/index.ts"
import type { Group, Task } from "./types.ts"

export interface Plan {
  /** In the order in which they are evaluated. */
  readonly tasks: readonly Task[]
  /** Groups and tasks that were asked for, and what each consists of, in the order of results. */
  readonly hierarchy: ReadonlyMap<string, readonly string[]>
  readonly aliases: ReadonlyMap<string, string>
}

const isGroup = (one: Task | Group): one is Group => "members" in one

/** Each task and group there is, by name. */
const known: ReadonlyMap<string, Task | Group> = new Map(
  allTasks.flatMap(withMembers).map((one) => [one.name, one]),
)

function withMembers(one: Task | Group): (Task | Group)[] {
  return isGroup(one) ? [one, ...one.members.flatMap(withMembers)] : [one]
}

/** What is asked for by name, or as it is. Throws RangeError for an unknown name, TypeError for what is
 *  neither. */
function taskOf(asked: string | Task | Group): Task | Group {
  if (typeof asked === "string") {
    const found = known.get(asked)
    if (found) return found
    const names = allTasks.map(({ name }) => name).join(", ")
    throw new RangeError(`There is no task ${show(asked)}. There are: ${names}`)
  }
  const isTask = typeof asked?.name === "string" && (isGroup(asked) || "requests" in asked)
  if (isTask) return asked
  throw new TypeError(`tasks: ${show(asked)} is no task, expected a name or a Task`)
}

/** The plan of what is asked for. The original evaluates the last one first. */
export function planOf(asked: readonly (string | Task | Group)[]): Plan {
  const found = new Map<string, Task | Group>()
  for (const one of asked.map(taskOf)) {
    const other = found.get(one.name) ?? one
    if (other !== one) throw new RangeError(`tasks: two are named ${show(one.name)}. Rename one`)
    found.set(one.name, one)
  }
  if (found.size === 0) throw new RangeError("tasks: expected one or more, got none")
  const inOrder = [...found.values()].reverse()
  const tasks = new Map<string, Task>()
  const hierarchy = new Map<string, readonly string[]>()
  const aliases = new Map<string, string>()
  const add = (one: Task | Group): void => {
    if (one.alias !== undefined) aliases.set(one.name, one.alias)
    if (!isGroup(one)) {
      tasks.set(one.name, one)
      return
    }
    hierarchy.set(
      one.name,
      one.members.map(({ name }) => name),
    )
    one.members.forEach(add)
  }
  for (const one of inOrder) {
    if (!isGroup(one)) hierarchy.set(one.name, [])
    add(one)
  }
  return { tasks: [...tasks.values()], hierarchy, aliases }
}
