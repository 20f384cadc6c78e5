// The files that sources name, and which of them a rank and worker reads in which order: the
// original's shuffles to the bit. What a file holds is left to readers.ts.
import { fromNode } from "../../engine/node.ts"
import { faultText } from "../../model/files/faults.ts"
import { show } from "../../model/json.ts"
import { printable } from "../../model/printable.ts"
import { PythonRandom } from "../../model/python/random.ts"
import { isRun } from "../run/names.ts"
import { inEither, type Spelling } from "../spelling.ts"
import type { CheckedSource, DataConfig } from "./config.ts"
import { formatOf, formats } from "./readers.ts"

export interface DataFile {
  readonly path: string
  readonly key: string
  readonly documents: CheckedSource["documents"]
}

/** Every file of the sources, in their order. Throws where a name is wrong or a file is missing. */
export async function filesOf(config: DataConfig, split: FileSplit): Promise<DataFile[]> {
  const { resolve } = fromNode("node:path")
  const fs = fromNode("node:fs/promises")
  const mayMiss = config.onError === "skip"
  const isHeldOut = config.holdOut > 0 && config.validation.length === 0
  const field = split === "train" || isHeldOut ? "sources" : "validation"
  const sources = config[field]
  if (sources.length === 0) {
    throw new RangeError(
      `data: validation is empty, expected sources; or set ${inEither("holdOut")} to a part of the others`,
    )
  }
  const files: DataFile[] = []
  for (const source of sources) {
    const { textKey: key, documents } = source
    for (const name of expand(source)) {
      for (const path of await pathsOf(fs, resolve(config.root, name), mayMiss)) {
        files.push({ path, key, documents })
        if (files.length > mostFiles) {
          throw new RangeError(
            `data: ${field} names more than ${mostFiles} files, the last of them ${path}`,
          )
        }
      }
    }
  }
  return files
}

/** Which sources: those to train on, or those held out. */
export type FileSplit = "train" | "validation"

/** Files of a configuration at the most: the release's data has some 6,000. */
const mostFiles = 1 << 17
/** Digits of a number that is filled up with zeros or spaces. */
const mostDigits = 20

const placeholder = /\{file_id(?::(0?)(\d*)d)?\}/g

/** Throws RangeError that begins with `where` for a template or a range that stand for no files. */
export function checkNames(
  { fileName, fileIdRange }: CheckedSource,
  where: string,
  spelled: Spelling,
): void {
  const fail = (expected: string, name = "fileName", value = show(fileName)): never => {
    throw new RangeError(`${where}${spelled(name)} is ${value}, expected ${spelled(expected)}`)
  }
  const rest = fileName.replace(placeholder, "")
  if (/[{}]/.test(rest)) fail("no braces but {file_id} or, say, {file_id:05d}")
  if (rest === fileName) return
  const [a, b] = fileIdRange ?? fail("a fileIdRange beside it")
  for (const [whole, , width] of fileName.matchAll(placeholder)) {
    if (Number(width ?? 0) > mostDigits) fail(`at most ${mostDigits} digits in ${show(whole)}`)
  }
  if (b - a <= mostFiles) return
  fail(`at most ${mostFiles} files`, "fileIdRange", `[${a}, ${b}] of ${show(fileName)}`)
}

/** The file names that a template and a range stand for. */
function* expand({ fileName, fileIdRange }: CheckedSource): Generator<string> {
  const [a, b] = fileName.replace(placeholder, "") === fileName ? [0, 1] : (fileIdRange ?? [0, 0])
  for (let id = a; id < b; id++) {
    yield fileName.replace(placeholder, (_, zero, width) =>
      String(id).padStart(Number(width ?? 0), zero ? "0" : " "),
    )
  }
}

type Files = typeof import("node:fs/promises")

/** A file itself, or all files of a folder that can be read, by name. */
async function pathsOf(fs: Files, path: string, mayMiss: boolean): Promise<string[]> {
  const there = await fs.stat(path).catch(() => undefined)
  if (there?.isDirectory()) {
    const { join } = fromNode("node:path")
    if (isRun(path, await fs.readdir(path))) {
      throw new Error(
        `${path} is the folder of a run, no data. Give another folder for one of them`,
      )
    }
    const known: string[] = []
    await addFilesOf(fs, path, "", known, new Set([await fs.realpath(path)]))
    if (known.length > 0) return known.sort().map((name) => join(path, name))
    throw new Error(`${printable(path, "line")} holds no file of text. Expected ${formats}`)
  }
  if (there && !there.isFile()) {
    throw new RangeError(
      `${printable(path, "line")} is neither a file nor a folder. Data is read more than once`,
    )
  }
  if (there || mayMiss) return [path]
  throw new Error(
    `Cannot read ${printable(path, "line")}: no such file. Check ${inEither("fileName")} of the sources, and ` +
      `root; or set ${inEither("onError")} to "skip"`,
  )
}

/** Adds the names of a folder's files, each file and folder once, whatever links lead to it; runs that
 *  lie in it are no data. */
async function addFilesOf(
  fs: Files,
  root: string,
  inside: string,
  names: string[],
  seen: Set<string>,
): Promise<void> {
  const { join } = fromNode("node:path")
  const folder = join(root, inside)
  const entries = await fs.readdir(folder)
  if (isRun(folder, entries)) return
  for (const entry of entries.sort()) {
    if (entry.startsWith(".")) continue
    const name = join(inside, entry)
    const path = join(root, name)
    const there = await fs.stat(path).catch((error: Error) => {
      if (formatOf(entry)) throw new Error(`Cannot read ${path}: ${faultText(error)}`)
    })
    if (!there?.isDirectory() && !(there?.isFile() && formatOf(entry))) continue
    const real = await fs.realpath(path)
    if (seen.has(real)) continue
    seen.add(real)
    if (there.isFile()) names.push(name)
    else await addFilesOf(fs, root, name, names, seen)
  }
}

export interface Sharing {
  /** rank · workers + worker, and how many of them there are. */
  readonly rank: number
  readonly world: number
  readonly split: FileSplit
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
  if (isTraining && config.shuffleData) random.shuffle(files)
  if (config.shardBy === "files") {
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
