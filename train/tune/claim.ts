// The settings that a folder of several runs or stages was begun with: what is done with others is refused.
import { fromNode } from "../../engine/node.ts"
import { writeFileWhole } from "../../model/index.ts"
import { type Fields, toFile } from "../spelling.ts"

const fileName = "settings.json"
/** What changes nothing that is computed. */
const free: readonly string[] = ["out", "threads", "shard", "keep", "logEvery", "saveEvery"]

/** Writes what decides the results into a folder, which is made. Throws RangeError where it has others. */
export async function claim(folder: string, settings: Fields): Promise<void> {
  const { mkdir, readFile } = fromNode("node:fs/promises")
  const path = fromNode("node:path").join(folder, fileName)
  await mkdir(folder, { recursive: true })
  const deciding = Object.entries(settings).filter(([name]) => !free.includes(name))
  const own = `${JSON.stringify(toFile(Object.fromEntries(deciding)))}\n`
  const before = await readFile(path, "utf8").catch(() => undefined)
  if (before === undefined) return writeFileWhole(path, new TextEncoder().encode(own))
  if (before === own) return
  throw new RangeError(`${path} is of a run with other settings. Give another out, or those`)
}
