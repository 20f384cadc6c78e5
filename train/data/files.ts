// The files that sources name, and which of them a rank and worker reads in which order: the
// original's shuffles to the bit. What a file holds is left to readers.ts.
import { fromNode } from "../../engine/node.ts"
import { show } from "../../model/json.ts"
import type { CheckedSource, DataConfig } from "./config.ts"
import { PythonRandom } from "./random.ts"
import { formatOf, formats } from "./readers.ts"

export interface DataFile {
  readonly path: string
  readonly key: string
  readonly documents: CheckedSource["documents"]
}

/** Every file of the sources, in their order. Throws where a name is wrong or a file is missing. */
export async function filesOf(config: DataConfig, split: Split): Promise<DataFile[]> {
  const { resolve } = fromNode("node:path")
  const fs = fromNode("node:fs/promises")
  const mayMiss = config.on_error === "skip"
  const sources = split === "train" ? config.sources : config.validation
  if (sources.length === 0) throw new RangeError("the configuration names no validation sources")
  const files: DataFile[] = []
  for (const source of sources) {
    const { text_key: key, documents } = source
    for (const name of expand(source)) {
      for (const path of await pathsOf(fs, resolve(config.root, name), mayMiss)) {
        files.push({ path, key, documents })
      }
    }
  }
  return files
}

export type Split = "train" | "validation"

/** The file names that a template and a range stand for. */
function expand({ file_name, file_id_range }: CheckedSource): string[] {
  const field = /\{file_id(?::(0?)(\d*)d)?\}/g
  const rest = file_name.replace(field, "")
  if (/[{}]/.test(rest)) {
    throw new RangeError(
      `file_name is ${show(file_name)}, expected no braces but {file_id} or, say, {file_id:05d}`,
    )
  }
  if (rest !== file_name && !file_id_range) {
    throw new RangeError(`file_name is ${show(file_name)}, expected a file_id_range beside it`)
  }
  const [a, b] = rest === file_name ? [0, 1] : (file_id_range as readonly [number, number])
  return Array.from({ length: b - a }, (_, i) =>
    file_name.replace(field, (_, zero, width) =>
      String(a + i).padStart(Number(width ?? 0), zero ? "0" : " "),
    ),
  )
}

type Files = typeof import("node:fs/promises")

/** A file itself, or all files of a folder that can be read, by name. */
async function pathsOf(fs: Files, path: string, mayMiss: boolean): Promise<string[]> {
  const there = await fs.stat(path).catch(() => undefined)
  if (there?.isDirectory()) {
    const { join } = fromNode("node:path")
    const names = await fs.readdir(path, { recursive: true })
    const known = names.filter((name) => formatOf(name) && !/(^|[/\\])\./.test(name)).sort()
    if (known.length > 0) return known.map((name) => join(path, name))
    throw new Error(`${path} holds no file of text. Expected ${formats}`)
  }
  if (!formatOf(path)) {
    throw new RangeError(`${path} is of no known format. Expected ${formats}, or a folder of them`)
  }
  if (there || mayMiss) return [path]
  throw new Error(
    `Cannot read ${path}: no such file. Check file_name, file_id_range and root, ` +
      'or set on_error to "skip"',
  )
}

export interface Sharing {
  /** rank · workers + worker, and how many of them there are. */
  readonly rank: number
  readonly world: number
  readonly split: Split
}

/** The files that one worker opens in an epoch, in order; documents may be shared out further. */
export type FileOrder = (epoch: number) => readonly DataFile[]

/**
 * The original's order: shuffle all, fill up with random ones to a multiple of the workers, deal
 * out, and shuffle the worker's own again before each later epoch. Sharing by documents, or for
 * validation, adds none: every file is opened, or belongs to one worker.
 */
export function fileOrder(all: readonly DataFile[], config: DataConfig, share: Sharing): FileOrder {
  const { rank, world, split } = share
  const random = new PythonRandom(config.seed)
  let files = [...all]
  const isTraining = split === "train"
  if (isTraining && config.shuffle_data) random.shuffle(files)
  if (config.shard_by === "files") {
    const missing = isTraining ? (world - (files.length % world)) % world : 0
    if (missing > 0) files.push(...random.choices(files, missing))
    files = files.filter((_, i) => i % world === rank)
  }
  let at = 0
  return (epoch) => {
    if (epoch < at) throw new RangeError(`the files are at epoch ${at}, asked for ${epoch}`)
    for (; at < epoch; at++) if (isTraining) random.shuffle(files)
    return files
  }
}
