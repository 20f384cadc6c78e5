// Where the files of a split lie in a folder: under the task's own name, or as the hub's client and its
// repositories have them.
import { fromNode } from "../../engine/node.ts"
import { cannot } from "../../model/index.ts"
import type { Source } from "../types.ts"

type Place = Pick<Source<never>, "folders" | "hub" | "config" | "files">

/** A folder that may hold files of a split, and their names there. */
interface Candidate {
  readonly folder: string
  readonly names: RegExp
}

const endings = ["jsonl", "json", "parquet"]
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")

/** The files of a split in order; none where there are none. Throws Error for a folder that cannot be
 *  read, or in which a part of a split is missing. */
export async function filesOf(data: string, place: Place, split: string): Promise<string[]> {
  const { join } = fromNode("node:path")
  for (const { folder, names } of await candidates(data, place, split)) {
    const all = (await listed(folder)) ?? []
    const found = all.filter((name) => names.test(name)).sort()
    for (const ending of endings) {
      const files = found.filter((name) => name.endsWith(`.${ending}`))
      if (files.length === 0) continue
      return wholeSet(files, folder).map((name) => join(folder, name))
    }
  }
  return []
}

async function candidates(data: string, place: Place, split: string): Promise<Candidate[]> {
  const { join } = fromNode("node:path")
  const { folders = [], config, files } = place
  const part = "(-\\d{5}-of-\\d{5})?"
  const own = new RegExp(`^${escaped(split)}${part}\\.(${endings.join("|")})$`)
  const named = new RegExp(`^(\\w+-)?${escaped(split)}${part}\\.(${endings.join("|")})$`)
  const given = files?.[split]
  const names = given === undefined ? named : new RegExp(`^${escaped(given)}$|${named.source}`)
  const inRepository = (root: string): Candidate[] => [
    ...(config === undefined
      ? []
      : [
          { folder: join(root, config), names },
          { folder: join(root, config, split), names: /^\d+\.parquet$/ },
          { folder: join(root, "data", config), names },
        ]),
    { folder: join(root, "data"), names },
    { folder: root, names },
  ]
  return [
    ...folders.map((name) => ({ folder: join(data, name), names: own })),
    ...(await repositories(data, place)).flatMap(inRepository),
  ]
}

/** Folders that a data set's repository may be in: of a client's cache, or downloaded as it is. */
async function repositories(data: string, { hub = [] }: Place): Promise<string[]> {
  const { join } = fromNode("node:path")
  const { readFile } = fromNode("node:fs/promises")
  const found: string[] = []
  for (const name of hub) {
    const cached = join(data, `datasets--${name.replace("/", "--")}`)
    const commits = (await listed(join(cached, "snapshots"))) ?? []
    const main = await readFile(join(cached, "refs", "main"), "utf8").catch(() => "")
    const isMain = (commit: string): boolean => commit === main.trim()
    const inOrder = [...commits.filter(isMain), ...commits.filter((each) => !isMain(each)).sort()]
    found.push(...inOrder.map((commit) => join(cached, "snapshots", commit)))
    found.push(join(data, ...name.split("/")))
    found.push(join(data, name.split("/").at(-1) as string))
  }
  return [...new Set(found)]
}

/** Names in a folder; undefined where there is none. */
async function listed(folder: string): Promise<string[] | undefined> {
  try {
    return await fromNode("node:fs/promises").readdir(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "ENOENT" || code === "ENOTDIR") return undefined
    throw cannot("open", folder, error)
  }
}

/** Parts NAME-00000-of-00002: all that there should be. Throws Error where one is missing. */
function wholeSet(files: readonly string[], folder: string): readonly string[] {
  const count = Number(/-of-(\d{5})\.\w+$/.exec(files[0] as string)?.[1] ?? files.length)
  const isNumbered = files.every((name) => /^\d+\.parquet$/.test(name))
  if (count === 1 && !isNumbered) return files.slice(0, 1)
  if (files.length === count) return files
  throw new Error(`${folder} has ${files.length} of the ${count} parts of ${files[0]}`)
}
