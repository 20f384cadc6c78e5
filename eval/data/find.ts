// Where the files of a split lie in a folder: under the task's own name, or as the hub's client and its
// repositories have them.
import { fromNode } from "../../engine/node.ts"
import { cannot } from "../../model/index.ts"
import type { Source } from "../types.ts"

type Place = Pick<Source<never>, "folders" | "hub" | "config" | "files">

/** What the hub's conversion to Parquet calls the configuration of a data set that has but one. */
const soleConfigs = ["default", "plain_text"]

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
    const files = chosen((await listed(folder)) ?? [], names, folder)
    if (files.length > 0) return files.map((name) => join(folder, name))
  }
  return []
}

/** The files of a split among those of a repository of the hub, in order; none where there are none.
 *  Throws Error where a part of it is missing. */
export function filesAmong(paths: readonly string[], place: Place, split: string): string[] {
  for (const { folder, names } of inRepository(place, split)) {
    const start = folder === "" ? "" : `${folder}/`
    const own = paths.filter((path) => path.startsWith(start))
    const files = chosen(
      own.map((path) => path.slice(start.length)),
      names,
      folder,
    )
    if (files.length > 0) return files.map((name) => `${start}${name}`)
  }
  return []
}

/** Those of a folder that are a split, all of one form. */
function chosen(all: readonly string[], names: RegExp, folder: string): readonly string[] {
  const found = all.filter((name) => names.test(name)).sort()
  for (const ending of endings) {
    const files = found.filter((name) => name.endsWith(`.${ending}`))
    if (files.length > 0) return wholeSet(files, folder)
  }
  return []
}

const part = "(-\\d{5}-of-\\d{5})?"

/** Where in a repository a split may be, as it was published or as the hub converts it. */
function inRepository({ config, files }: Place, split: string): Candidate[] {
  const named = new RegExp(`^(\\w+-)?${escaped(split)}${part}\\.(${endings.join("|")})$`)
  const given = files?.[split]
  const names = given === undefined ? named : new RegExp(`^${escaped(given)}$|${named.source}`)
  const configs = config === undefined ? soleConfigs : [config]
  return [
    ...configs.flatMap((each) => [
      { folder: each, names },
      { folder: `${each}/${split}`, names: /^\d+\.parquet$/ },
      { folder: `data/${each}`, names },
    ]),
    { folder: "data", names },
    { folder: "", names },
  ]
}

async function candidates(data: string, place: Place, split: string): Promise<Candidate[]> {
  const { join } = fromNode("node:path")
  const own = new RegExp(`^${escaped(split)}${part}\\.(${endings.join("|")})$`)
  const within = inRepository(place, split)
  return [
    ...(place.folders ?? []).map((name) => ({ folder: join(data, name), names: own })),
    ...(await repositories(data, place)).flatMap((root) =>
      within.map(({ folder, names }) => ({ folder: join(root, folder), names })),
    ),
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
