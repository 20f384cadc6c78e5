// `npm run build`: dist from the sources, by tsc, kernels.ts and bundle.ts in turn. Where dist is what the last build
// made and no source has changed since, nothing is done; where some have, tsc compiles what they touch. Run on the
// pinned Node, which takes types away by itself.
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { digestOf, filesIn } from "./digest.ts"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
// In a folder that the package leaves out.
const made = join(root, "dist", "build")
const stamp = join(made, "stamp.json")
const known = join(made, "tsc.json")

/** Digests of what a build was made of, and of what it made. */
interface Stamp {
  readonly sources: string
  readonly outputs: string
}

/** Of sources, their settings, and the versions of what compiles them. */
function sources(): string {
  const settings = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"))
  const { include } = settings as { readonly include: readonly string[] }
  const files = include.filter((name) => name.endsWith(".ts"))
  const folders = include.filter((name) => !name.endsWith(".ts"))
  return digestOf(root, [
    ...files,
    ...folders.flatMap((folder) => filesIn(root, folder, /\.(ts|wgsl)$/)),
    ...["package.json", "package-lock.json", "tsconfig.json"],
  ])
}

const outputs = (): string => digestOf(root, filesIn(root, "dist", /\.(js|d\.ts)$/))

/** Runs a program of JavaScript; where it fails, this one ends as it did. */
function run(...line: readonly string[]): void {
  const { status, error } = spawnSync(process.execPath, line, { cwd: root, stdio: "inherit" })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
}

const last: Stamp | undefined = existsSync(stamp)
  ? JSON.parse(readFileSync(stamp, "utf8"))
  : undefined
const wanted = sources()
const isWhole = last !== undefined && last.outputs === outputs()
if (isWhole && last.sources === wanted) {
  console.log("dist is up to date")
} else {
  rmSync(stamp, { force: true })
  // What tsc remembers holds for the files that it wrote, and for no others in their place.
  if (!isWhole) rmSync(known, { force: true })
  run("node_modules/typescript/bin/tsc", "--incremental", "--tsBuildInfoFile", known)
  run(join(made, "kernels.js"))
  run(join(made, "bundle.js"))
  writeFileSync(stamp, JSON.stringify({ sources: wanted, outputs: outputs() } satisfies Stamp))
}
