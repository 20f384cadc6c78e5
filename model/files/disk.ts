// Files in a folder on a disk, read piece by piece as they are asked for.
import { fromNode } from "../../engine/node.ts"
import { faultText } from "./faults.ts"
import type { Waiting } from "./http.ts"
import { checkFileName, closedError, type FileTree, type OpenFile } from "./tree.ts"

/** Longest single read or write: the system's own limit is just under 2 GiB. */
export const maxPieceBytes = 1 << 30

/** The files of a folder, or of the one that a file lies in. */
export function diskTree(path: string, isFile: boolean, waiting: Waiting = {}): FileTree {
  const { basename, dirname, join } = fromNode("node:path")
  const [folder, file] = isFile ? [dirname(path), basename(path)] : [path, undefined]
  const nameOf = (name: string): string => {
    checkFileName(name)
    return name === file ? path : join(folder, name)
  }
  const isThere = (name: string): boolean => fromNode("node:fs").existsSync(nameOf(name))
  const open = async (name: string) => openOnDisk(nameOf(name), waiting)
  return {
    name: folder,
    file,
    path: folder,
    nameOf,
    open,
    has: async (name) => isThere(name),
    async list() {
      const fs = fromNode("node:fs/promises")
      const entries = await fs.readdir(folder, { withFileTypes: true }).catch((error) => {
        // A folder that is not there lacks whatever is looked for.
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return []
        throw cannot("open", folder, error)
      })
      return entries.flatMap((each) => (each.isDirectory() ? [] : [each.name])).sort()
    },
    openIfThere: async (name) => (isThere(name) ? open(name) : undefined),
  }
}

/** Whether there is something of that path, and no folder; undefined for nothing. */
export function isFileOnDisk(path: string): boolean | undefined {
  try {
    const found = fromNode("node:fs").statSync(path, { throwIfNoEntry: false })
    return found && !found.isDirectory()
  } catch {
    // What no system finds; whoever opens it hears why.
    return undefined
  }
}

/** Opens a file for reading. Throws Error that names it where that fails. */
export async function openOnDisk(path: string, { signal }: Waiting = {}): Promise<OpenFile> {
  signal?.throwIfAborted()
  const file = await handleOf(path)
  const { size } = await file.stat()
  let isOpen = true
  return {
    name: path,
    size,
    async readAt(position, target) {
      signal?.throwIfAborted()
      if (!isOpen) throw closedError(path)
      for (let done = 0; done < target.length; ) {
        const length = Math.min(target.length - done, maxPieceBytes)
        const { bytesRead } = await file.read(target, done, length, position + done)
        if (bytesRead === 0) {
          throw new Error(`${path} ended early: it changed while open. Open it again`)
        }
        done += bytesRead
      }
    },
    async close() {
      if (!isOpen) return
      isOpen = false
      await file.close()
    },
  }
}

async function handleOf(path: string) {
  try {
    checkPlain(path)
    return await fromNode("node:fs/promises").open(path, "r")
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
