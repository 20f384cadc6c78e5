// Files of a model: in a folder, or behind an http or https URL (remote.ts). A path that begins with
// http:// or https:// is a URL wherever a path is taken.
import { kindOf } from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import { show } from "../json.ts"
import { faultText } from "./faults.ts"
import type { Waiting } from "./http.ts"
import { likeOf } from "./kinds.ts"
import { isRemote, openRemote, remoteFileIn } from "./remote.ts"

/** A file that is open, to be read anywhere in it. */
export interface OpenFile {
  readonly size: number
  /** Fills `target` from a position; at once from a disk, later from a server. */
  readAt(position: number, target: Uint8Array): void | Promise<void>
  close(): void
}

export interface Reading extends Waiting {
  /** Most bytes of a file that a server gives only as a whole. */
  readonly limit?: number
}

/** Longest single read: the system's own limit is just under 2 GiB. */
export const maxReadBytes = 1 << 30

/** What is given as path or URL, as a path; `name` says where. Throws TypeError for what is neither. */
export function pathOf(given: string | URL, name = "a folder"): string {
  if (typeof given !== "string" && !(given instanceof URL)) {
    throw new TypeError(`${name} must be a path or a URL, got ${kindOf(given)}`)
  }
  const url = String(given)
  return /^file:\/\//i.test(url) ? fromNode("node:url").fileURLToPath(url) : url
}

/** The same of what is to be written. Throws RangeError for what no disk holds. */
export function pathToWrite(given: string | URL, name: string): string {
  const path = pathOf(given, name)
  if (path === "") throw new RangeError(`${name} is empty. Give the path of a folder`)
  // Not C:\, which is a disk.
  if (!/^(https?:|[a-z][a-z\d+.-]+:\/\/)/i.test(path)) return path
  throw new RangeError(
    `${name} is ${show(path)}, to which nothing can be written. Give a path or a file: URL`,
  )
}

export const fileIn = (folder: string, name: string): string =>
  isRemote(folder) ? remoteFileIn(folder, name) : fromNode("node:path").join(folder, name)

/** A small file as a whole. Throws Error where it is missing, RangeError beyond `limit` bytes. */
export async function readFile(
  path: string,
  limit: number,
  waiting: Waiting = {},
): Promise<Uint8Array> {
  return contentOf(path, await openFile(path, { ...waiting, limit }), limit)
}

/** The same of a file that may be missing: undefined then. */
export async function readIfThere(
  path: string,
  limit: number,
  waiting: Waiting = {},
): Promise<Uint8Array | undefined> {
  const file = await openIfThere(path, { ...waiting, limit })
  return file && contentOf(path, file, limit)
}

async function contentOf(path: string, file: OpenFile, limit: number): Promise<Uint8Array> {
  try {
    if (file.size > limit) {
      throw new RangeError(
        `${path} has ${file.size} bytes, expected at most ${limit}. Check the file`,
      )
    }
    const bytes = new Uint8Array(file.size)
    await file.readAt(0, bytes)
    return bytes
  } finally {
    file.close()
  }
}

/** Opens a file for reading. Throws Error that names it where that fails. */
export async function openFile(path: string, reading: Reading = {}): Promise<OpenFile> {
  if (!isRemote(path)) return openOnDisk(path, reading)
  const file = await openRemote(path, reading)
  if (file) return file
  throw new Error(`Cannot open ${path}: no such file. Check the address`)
}

/**
 * Opens a file that may be missing: undefined then. Many servers answer with a page of status 200
 * for what they lack, so that a file is there when it begins as its kind does.
 */
export async function openIfThere(
  path: string,
  reading: Reading = {},
): Promise<OpenFile | undefined> {
  if (isRemote(path)) return openRemote(path, { ...reading, isLike: likeOf(path) })
  return fromNode("node:fs").existsSync(path) ? openOnDisk(path, reading) : undefined
}

/** Whether there is such a file. */
export async function isThere(path: string): Promise<boolean> {
  const file = await openIfThere(path)
  file?.close()
  return file !== undefined
}

function openOnDisk(path: string, { signal }: Waiting): OpenFile {
  signal?.throwIfAborted()
  const fs = fromNode("node:fs")
  let open: number | undefined = descriptorOf(path)
  return {
    size: fs.fstatSync(open).size,
    readAt(position, target) {
      signal?.throwIfAborted()
      if (open === undefined) throw new Error(`${path} is closed. Open it again`)
      for (let done = 0; done < target.length; ) {
        const length = Math.min(target.length - done, maxReadBytes)
        const count = fs.readSync(open, target, done, length, position + done)
        if (count === 0)
          throw new Error(`${path} ended early: it changed while open. Open it again`)
        done += count
      }
    },
    close() {
      if (open !== undefined) fs.closeSync(open)
      open = undefined
    },
  }
}

function descriptorOf(path: string): number {
  try {
    checkPlain(path)
    return fromNode("node:fs").openSync(path, "r")
  } catch (error) {
    throw cannot("open", path, error)
  }
}

/** Throws Error, with the reason alone, unless there is a plain file: opening a pipe would wait for a
 *  writer, and a device may never end. */
export function checkPlain(path: string): void {
  const found = fromNode("node:fs").statSync(path, { throwIfNoEntry: false })
  if (!found) throw new Error("no such file")
  if (found.isFile()) return
  throw new Error(found.isDirectory() ? "it is a folder" : "it is not a plain file")
}

export const cannot = (act: string, path: string, error: unknown): Error =>
  new Error(`Cannot ${act} ${path}: ${faultText(error)}. Check the path`, { cause: error })
