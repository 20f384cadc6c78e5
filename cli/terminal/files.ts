// Result files: refused before a long measurement rather than after it, written whole or not at
// all. And the standard input.
import {
  accessSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  type Stats,
  statSync,
} from "node:fs"
import { writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { cannot, faultText, writeFileWhole } from "../../model/index.ts"

/** Throws Error when a file of that name could not be written. */
export function checkWritable(path: string): void {
  const there = found(path)
  if (there?.isDirectory()) throw new Error(`${path} is a folder. Give the name of a file`)
  try {
    accessSync(there ? path : dirname(path), constants.W_OK)
  } catch (error) {
    throw new Error(
      `cannot write ${path}: ${faultText(error)}. ` +
        "Give a file in a folder that exists and may be written",
    )
  }
}

/** What there is of that name, or what a link of that name leads to; undefined for nothing. */
function found(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false }) ?? lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    throw cannot("write", path, error)
  }
}

/** Makes a folder where there is none. Throws Error where its files could not be written. */
export function checkFolder(path: string, file: string): void {
  try {
    mkdirSync(path, { recursive: true })
  } catch (error) {
    throw cannot("write", path, error)
  }
  checkWritable(join(path, file))
}

/** Throws Error unless there is nothing of that name, or an empty folder. */
export function checkEmpty(path: string): void {
  const there = found(path)
  if (!there) return
  if (!there.isDirectory()) throw new Error(`${path} is not a folder. Give the name of a new one`)
  const [first] = readdirSync(path)
  if (first === undefined) return
  throw new Error(`${path} is not empty: it has ${first}. Give the name of a new folder`)
}

/** Whole or not at all; what a link leads to, a device or a pipe is written as it is. */
export async function writeWhole(path: string, text: string | Uint8Array): Promise<void> {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text
  const there = statSync(path, { throwIfNoEntry: false })
  if (there && !there.isFile()) return writeFile(path, bytes)
  await writeFileWhole(there ? realpathSync(path) : path, bytes)
}

/** All of the standard input as text. */
export async function standardInput(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString("utf8")
}

/** Throws Error where a file of that name is there already, or could not be written. */
export function checkNew(path: string): void {
  if (found(path)) throw new Error(`${path} is there already. Give the name of a new file`)
  checkWritable(path)
}

/** Bytes of a file, or of all in a folder. */
export function bytesAt(path: string): number {
  const there = statSync(path)
  if (!there.isDirectory()) return there.size
  return readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0)
}
