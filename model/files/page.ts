// Files that a page was given: chosen in it or dropped on it, one by one or as a folder, or kept by the
// browser for it.
import { brief } from "../json.ts"
import type { Waiting } from "./http.ts"
import { checkFileName, closedError, type FileTree, type OpenFile } from "./tree.ts"

/** The files of a list of them; undefined for anything else. */
export function chosenFiles(source: unknown): readonly File[] | undefined {
  if (typeof source !== "object" || source === null || !("length" in source)) return undefined
  const files = Array.from(source as ArrayLike<unknown>)
  return files.length > 0 && files.every((x) => x instanceof File) ? files : undefined
}

export const isFolder = (source: unknown): source is FileSystemDirectoryHandle =>
  typeof source === "object" &&
  source !== null &&
  "getFileHandle" in source &&
  typeof source.getFileHandle === "function"

/** Files by their names; those of a chosen folder by their paths in it. A single one is the source. */
export function filesTree(files: readonly File[], waiting: Waiting = {}): FileTree {
  const paths = files.map((file) => file.webkitRelativePath || file.name)
  const [top = ""] = paths[0]?.split("/", 1) ?? []
  const isFolder = paths.every((path) => path.startsWith(`${top}/`))
  const byName = new Map<string, File>()
  for (const [i, path] of paths.entries()) {
    const name = isFolder ? path.slice(top.length + 1) : path
    if (byName.has(name)) {
      throw new RangeError(`two of the files are named ${brief(name)}. Choose one of them`)
    }
    byName.set(name, files[i] as File)
  }
  const only = files.length === 1 && !isFolder ? paths[0] : undefined
  const find = async (name: string) => byName.get(name)
  const list = async () => [...byName.keys()].filter((name) => !name.includes("/")).sort()
  return { ...treeOfPage(isFolder ? top : undefined, find, waiting, only), list }
}

/** The files of a folder that a page may read. */
export const folderTree = (folder: FileSystemDirectoryHandle, waiting: Waiting = {}): FileTree =>
  treeOfPage(folder.name || undefined, (name) => fileIn(folder, name), waiting)

async function fileIn(folder: FileSystemDirectoryHandle, name: string): Promise<File | undefined> {
  const parts = name.split("/")
  const last = parts.pop() as string
  try {
    let at = folder
    for (const part of parts) at = await at.getDirectoryHandle(part)
    return await (await at.getFileHandle(last)).getFile()
  } catch (error) {
    // Not there, or a folder where a file is looked for.
    if (/^(NotFound|TypeMismatch)Error$/.test((error as Error).name)) return undefined
    throw error
  }
}

function treeOfPage(
  folder: string | undefined,
  find: (name: string) => Promise<File | undefined>,
  waiting: Waiting,
  file?: string,
): FileTree {
  const nameOf = (name: string): string => brief(folder === undefined ? name : `${folder}/${name}`)
  const found = async (name: string): Promise<File | undefined> => {
    checkFileName(name)
    waiting.signal?.throwIfAborted()
    return find(name)
  }
  const openIfThere = async (name: string): Promise<OpenFile | undefined> => {
    const there = await found(name)
    return there && openBlob(nameOf(name), there, waiting)
  }
  return {
    name: folder === undefined ? "the list of files" : brief(folder),
    file,
    nameOf,
    openIfThere,
    has: async (name) => (await found(name)) !== undefined,
    async open(name) {
      const open = await openIfThere(name)
      if (open) return open
      throw new Error(`Cannot open ${nameOf(name)}: no such file among those given. Add it`)
    },
  }
}

function openBlob(name: string, blob: Blob, { signal }: Waiting): OpenFile {
  let isOpen = true
  return {
    name,
    size: blob.size,
    async readAt(position, target) {
      signal?.throwIfAborted()
      if (!isOpen) throw closedError(name)
      const bytes = await bytesOf(name, blob.slice(position, position + target.length))
      if (bytes.length < target.length) {
        throw new Error(`${name} ended early: it changed while open. Choose it again`)
      }
      target.set(bytes)
    },
    async close() {
      isOpen = false
    },
  }
}

async function bytesOf(name: string, part: Blob): Promise<Uint8Array> {
  try {
    return new Uint8Array(await part.arrayBuffer())
  } catch (error) {
    // A browser lets go of a file that has changed since it was chosen.
    const { message } = error as Error
    throw new Error(`Cannot read ${name}: ${message}. Choose it again`, { cause: error })
  }
}
