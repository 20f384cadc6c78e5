// The cache of a hub's files, laid out as Python's huggingface_hub does, so that both use one: contents by
// their hash in blobs/, names in snapshots/COMMIT/ as relative links to them, commits of branches in
// refs/, and in .no_exist/COMMIT/ what a commit is known to lack.
import { fromNode } from "../../../engine/node.ts"
import { writeFileWhole } from "../atomic.ts"
import type { HubName } from "./name.ts"

interface HubCache {
  /** The folder of a commit's files. */
  snapshot(commit: string): string
  /** The path of a commit's file, where it is there. */
  fileOf(commit: string, file: string): string | undefined
  /** Whether a commit is known to lack a file. */
  lacks(commit: string, file: string): boolean
  /** The commit that a branch or tag had when it was asked for last. */
  commitOf(revision: string): string | undefined
  /** Path of the content with that hash, there or not. */
  blob(hash: string): string
  /** Path of the lock of the one who downloads it. */
  lock(hash: string): string
  hasBlob(hash: string): boolean
  keepCommit(revision: string, commit: string): Promise<void>
  keepLack(commit: string, file: string): Promise<void>
  /** Gives a file of a commit its content, which is there: the path. */
  link(commit: string, file: string, hash: string): Promise<string>
}

/** The part of a cache that is a repository's. */
export function hubCache(
  folder: string,
  { kind, repository }: Pick<HubName, "kind" | "repository">,
): HubCache {
  const { existsSync, readFileSync } = fromNode("node:fs")
  const { dirname, join, relative } = fromNode("node:path")
  const fs = fromNode("node:fs/promises")
  const name = `${kind ?? "models"}--${repository.replace("/", "--")}`
  const of = (...path: string[]): string => join(folder, name, ...path)
  const snapshot = (commit: string): string => of("snapshots", commit)
  const made = async (path: string): Promise<string> => {
    await fs.mkdir(dirname(path), { recursive: true })
    return path
  }
  return {
    snapshot,
    fileOf(commit, file) {
      const path = join(snapshot(commit), file)
      return existsSync(path) ? path : undefined
    },
    lacks: (commit, file) => existsSync(of(".no_exist", commit, file)),
    commitOf(revision) {
      const path = of("refs", revision)
      return existsSync(path) ? readFileSync(path, "utf8").trim() : undefined
    },
    blob: (hash) => of("blobs", hash),
    lock: (hash) => join(folder, ".locks", name, `${hash}.openelm`),
    hasBlob: (hash) => existsSync(of("blobs", hash)),
    async keepCommit(revision, commit) {
      const path = await made(of("refs", revision))
      if (existsSync(path) && readFileSync(path, "utf8") === commit) return
      await writeFileWhole(path, new TextEncoder().encode(commit))
    },
    async keepLack(commit, file) {
      await fs.writeFile(await made(of(".no_exist", commit, file)), "")
    },
    async link(commit, file, hash) {
      const path = await made(join(snapshot(commit), file))
      if (existsSync(path)) return path
      const blob = of("blobs", hash)
      try {
        await fs.symlink(relative(dirname(path), blob), path)
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        if (code === "EEXIST") return path
        // Where a system has no links, or not for this user: the file itself.
        if (code !== "EPERM" && code !== "ENOSYS" && code !== "ENOTSUP") throw error
        await fs.rename(blob, path)
      }
      return path
    },
  }
}
