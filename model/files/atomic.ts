// The one way that files and folders of results come to be: under a fresh temporary name beside their
// own, synced, then renamed, so that whoever looks finds the old one or the whole new one. A temporary
// name that exists already, such as a link that somebody planted, is never followed.
import { fromNode } from "../../engine/node.ts"

/** What is being written: taken away where a signal ends the process on the way. */
const temporaries = new Set<string>()

const fresh = (path: string): string =>
  `${path.replace(/[/\\]+$/, "")}.${Math.random().toString(36).slice(2, 12)}.tmp`

/** Removes what this process has not finished writing; at once, since it is about to end. */
export function removeTemporaries(): void {
  const { rmSync } = fromNode("node:fs")
  for (const path of temporaries) rmSync(path, { recursive: true, force: true })
  temporaries.clear()
}

/** What a writer needs of a file that is open: a FileHandle of Node, whose types no page has. */
export interface WritableFile {
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): Promise<{ readonly bytesWritten: number }>
  writeFile(bytes: Uint8Array): Promise<void>
}

/** A file that `write` fills. Throws what it throws, and what the file system does: nothing is left. */
export async function writeAtomically(
  path: string,
  write: (file: WritableFile) => Promise<void>,
): Promise<void> {
  const { open, rename, rm } = fromNode("node:fs/promises")
  const temporary = fresh(path)
  const file = await open(temporary, "wx")
  temporaries.add(temporary)
  try {
    try {
      await write(file)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  } finally {
    temporaries.delete(temporary)
  }
  await syncFolder(fromNode("node:path").dirname(path))
}

/** What `work` gives with a new folder among the system's temporary ones, which is gone after it, and where
 *  a signal ends the process on the way. */
export async function inTemporaryFolder<T>(
  prefix: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const { mkdtemp, rm } = fromNode("node:fs/promises")
  const folder = await mkdtemp(fromNode("node:path").join(fromNode("node:os").tmpdir(), prefix))
  temporaries.add(folder)
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
    temporaries.delete(folder)
  }
}

/** A small file as a whole. */
export const writeFileWhole = (path: string, bytes: Uint8Array): Promise<void> =>
  writeAtomically(path, (file) => file.writeFile(bytes))

/** A new folder, or one in place of an empty one, that `fill` fills. Throws what it throws: nothing is
 *  left, and the name is free for another try. */
export async function folderAtomically<T>(
  path: string,
  fill: (folder: string) => Promise<T>,
): Promise<T> {
  const { mkdir, rename, rm, rmdir } = fromNode("node:fs/promises")
  const { dirname } = fromNode("node:path")
  const temporary = fresh(path)
  await mkdir(dirname(temporary), { recursive: true })
  await mkdir(temporary)
  temporaries.add(temporary)
  try {
    const result = await fill(temporary)
    await syncFolder(temporary)
    await rmdir(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error
    })
    await rename(temporary, path)
    await syncFolder(dirname(temporary))
    return result
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw error
  } finally {
    temporaries.delete(temporary)
  }
}

/** Makes new names in a folder durable. Windows cannot open folders and needs no such step. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return
  const folder = await fromNode("node:fs/promises").open(path, "r")
  await folder.sync().finally(() => folder.close())
}
