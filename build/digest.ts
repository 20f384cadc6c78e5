// Digests of files, by which a build knows that nothing has changed since the last one.
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

/** A digest of the names and bytes of files below `root`, and of more text. */
export function digestOf(root: string, files: readonly string[], more = ""): string {
  const hash = createHash("sha256").update(more)
  for (const file of [...files].sort()) {
    const bytes = readFileSync(join(root, file))
    hash.update(`${file} ${bytes.length}\n`).update(bytes)
  }
  return hash.digest("hex")
}

/** The files in a folder below `root` whose names end so, and in the folders in it. */
export function filesIn(root: string, folder: string, ending: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => ending.test(name))
    .map((name) => join(folder, name))
}
