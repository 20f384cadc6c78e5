// The names of what a run keeps in its folder, by which it is distinguished from everything else.
import { fromNode } from "../../engine/node.ts"

/** The folder of what is not finished, and of the lock. */
export const ownName = ".elm-run"

/** A checkpoint's folder. */
export const folderName = (step: number): string => `step-${String(step).padStart(8, "0")}`

/** The number of updates in a checkpoint's name; undefined for other names. */
export function stepNamed(path: string): number | undefined {
  const [, step] = /^step-(\d{8,})$/.exec(fromNode("node:path").basename(path)) ?? []
  return step === undefined ? undefined : Number(step)
}

/** Whether a folder is that of a run, under way or not: by the names in it, and what they hold. */
export function isRun(folder: string, names: readonly string[]): boolean {
  const { existsSync } = fromNode("node:fs")
  const { join } = fromNode("node:path")
  const holds = (...path: string[]): boolean => existsSync(join(folder, ...path))
  return names.some((name) =>
    name === ownName
      ? holds(name, "lock.json")
      : stepNamed(name) !== undefined && holds(name, "state.json"),
  )
}
