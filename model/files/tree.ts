// Files that belong together, such as those of a model: in a folder on a disk (disk.ts), at an http
// or https URL (http_tree.ts), or chosen in a page (page.ts). Which of them it is, source.ts finds out;
// nothing else asks.
import { show } from "../json.ts"
import { isRefusal } from "./http.ts"

/** A file that is open, to be read anywhere in it. */
export interface OpenFile {
  /** Its path or URL, for messages. */
  readonly name: string
  readonly size: number
  /** Fills `target` from a position. Throws Error when the file is closed, or has changed. */
  readAt(position: number, target: Uint8Array): Promise<void>
  close(): Promise<void>
}

/** Names of files are relative, with "/" between folders, and never lead out of the tree. */
export interface FileTree {
  /** The folder's path or URL, for messages. */
  readonly name: string
  /** The file that was asked for, where it was one and no folder; those beside it are found too. */
  readonly file?: string | undefined
  /** The folder's path, where it is on a disk. */
  readonly path?: string | undefined
  /** What an error about a file that is missing should add. */
  readonly remark?: string | undefined
  /** A file's path or URL, for messages. */
  nameOf(file: string): string
  has(file: string): Promise<boolean>
  /** Names of the files in the folder, in order, where that is known: not at a URL. */
  list?(): Promise<readonly string[]>
  /** Opens a file. `limit`: most bytes of one that a server gives only as a whole. Throws Error. */
  open(file: string, limit?: number): Promise<OpenFile>
  /** The same of a file that may be missing: undefined then. */
  openIfThere(file: string, limit?: number): Promise<OpenFile | undefined>
}

/** Throws RangeError for what is no name of a file in a tree, or would be another's on other systems. */
export function checkFileName(file: string): void {
  const parts = file.split("/")
  const isPlain = parts.every((part) => part !== "" && part !== "." && part !== "..")
  if (isPlain && !/[\\\0]|^[a-z]:/i.test(file)) return
  throw new RangeError(`${show(file)} is no name of a file in a folder. Do not trust this model`)
}

/** The file that was asked for itself. Throws RangeError for a folder, Error where it is missing. */
export async function fileOf(tree: FileTree): Promise<OpenFile> {
  if (tree.file !== undefined) return tree.open(tree.file)
  throw new RangeError(`${tree.name} is no file. Give the path of one`)
}

/** A small file as a whole. Throws Error where it is missing, RangeError beyond `limit` bytes. */
export async function readFile(tree: FileTree, file: string, limit: number): Promise<Uint8Array> {
  return contentOf(await tree.open(file, limit), limit)
}

/** The same of a file that may be missing: undefined then. */
export async function readIfThere(
  tree: FileTree,
  file: string,
  limit: number,
): Promise<Uint8Array | undefined> {
  const open = await tree.openIfThere(file, limit)
  return open && contentOf(open, limit)
}

/**
 * What `read` gives of each name, in their order, undefined being nothing; at most so many. A server that
 * has given no file yet may refuse what it lacks: such a name is asked for again once another was read.
 */
export async function readAmong<T>(
  names: readonly string[],
  read: (name: string) => Promise<T | undefined>,
  most = names.length,
): Promise<[name: string, result: T][]> {
  const found = new Map<string, T>()
  const refused = new Map<string, unknown>()
  const take = async (name: string): Promise<void> => {
    const result = await read(name)
    if (result !== undefined) found.set(name, result)
  }
  for (const name of names) {
    if (found.size === most) break
    await take(name).catch((error: unknown) => {
      if (!isRefusal(error)) throw error
      refused.set(name, error)
    })
  }
  for (const [name, error] of refused) {
    if (found.size === 0) throw error
    await take(name)
  }
  const inOrder = names.flatMap((name) => [...found].filter(([each]) => each === name))
  return inOrder.slice(0, most)
}

/** All of a file, which is closed then. */
export async function contentOf(file: OpenFile, limit: number): Promise<Uint8Array> {
  try {
    const { name, size } = file
    if (size > limit) {
      throw new RangeError(`${name} has ${size} bytes, expected at most ${limit}. Check the file`)
    }
    const bytes = new Uint8Array(size)
    await file.readAt(0, bytes)
    return bytes
  } finally {
    await file.close()
  }
}

/** What an open file says when it is asked after its end of use. */
export const closedError = (name: string): Error => new Error(`${name} is closed. Open it again`)
