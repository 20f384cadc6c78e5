// Programs that run the same models, as packages that somebody may have installed: none of them is a
// dependency. Each is found where the command was called, or beside this package.
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import type { DecoderConfig, WeightDType, WrittenFormat } from "../../model/index.ts"
import { isObject, parseJson } from "../../model/json.ts"
import type { Timing } from "../measure/repeats.ts"

/** What a peer is told of the model that it opens. */
export interface PeerOptions {
  readonly config: DecoderConfig
  readonly threads: number
  /** Tokens that its cache has to hold. */
  readonly capacity: number
}

export interface PeerModel {
  /** `count` greedy tokens after the prompt, and when they were there. */
  generate(prompt: readonly number[], count: number): Promise<PeerRun>
  close(): Promise<void>
}

export interface PeerRun extends Timing {
  readonly tokens: readonly number[]
}

export interface Peer {
  /** Of the package. */
  readonly name: string
  /** What it reads. */
  readonly format: WrittenFormat
  readonly dtypes: readonly WeightDType[]
  /** Opens a model that was written in its format. */
  open(path: string, module: unknown, options: PeerOptions): Promise<PeerModel>
}

interface InstalledPackage {
  readonly version: string
  readonly entry: string
}

/** An installed package. Throws Error that says how to install it. */
export function installedPackage(
  name: string,
  from: readonly string[] = [process.cwd(), dirname(fileURLToPath(import.meta.url))],
): InstalledPackage {
  for (const start of from) {
    for (let folder = start; ; folder = dirname(folder)) {
      const found = join(folder, "node_modules", name)
      if (existsSync(join(found, "package.json"))) return inFolder(found)
      if (dirname(folder) === folder) break
    }
  }
  throw new Error(
    `${name} is not installed. Run npm install ${name} where you call this, or leave it out`,
  )
}

function inFolder(folder: string): InstalledPackage {
  const path = join(folder, "package.json")
  const json = parseJson(readFileSync(path), path)
  if (!isObject(json)) throw new SyntaxError(`${path} holds no object. Install the package again`)
  const { version, exports, main = "index.js" } = json
  const entry =
    entryOf(isObject(exports) && "." in exports ? exports["."] : exports) ?? String(main)
  return { version: String(version), entry: join(folder, entry) }
}

/** The file that an import in Node takes, of a package's exports. */
function entryOf(exports: unknown): string | undefined {
  if (typeof exports === "string") return exports
  if (!isObject(exports)) return undefined
  for (const condition of ["node", "import", "default"]) {
    const found = entryOf(exports[condition])
    if (found !== undefined) return found
  }
  return undefined
}

/** What the package exports, also where that is its default alone. */
export async function importOf({ entry }: InstalledPackage): Promise<unknown> {
  const module: unknown = await import(pathToFileURL(entry).href)
  return isObject(module) && isObject(module.default) ? { ...module.default, ...module } : module
}
