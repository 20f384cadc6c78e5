// The files of a hub's repository, all of one commit: from the cache where they are there, else downloaded
// into it as they are opened. In a page, which has no disk, the cache is the browser's; one that has none
// either reads from the hub.
import { fromNode, isNode } from "../../../engine/node.ts"
import { openOnDisk } from "../disk.ts"
import type { Waiting } from "../http.ts"
import { httpTree } from "../http_tree.ts"
import { checkFileName, type FileTree, type OpenFile } from "../tree.ts"
import { hubCache } from "./cache.ts"
import { download } from "./download.ts"
import { HubError } from "./faults.ts"
import { hasCache } from "./kept.ts"
import { withLock } from "./lock.ts"
import { type HubName, hubText, isCommit, pagePath } from "./name.ts"
import { pageRepository } from "./page.ts"
import { type Asker, fileAt, filesAt, type HubFile } from "./requests.ts"
import { endpointOf, hubSettings } from "./settings.ts"

/** The files of a repository, as Python's huggingface_hub has them; `cache` is the environment's unless
 *  given. Throws HubError for what the hub refuses
 *  or, offline, the cache lacks; Error for contents that do not come. */
export function hubTree(name: HubName, waiting: Waiting = {}, cache?: string): FileTree {
  if (!isNode) return hasCache() ? keptTree(name, waiting) : treeOfPage(name, waiting)
  const repository = repositoryOf(name, waiting, cache)
  return treeOver(name, repository.endpoint, {
    async openIfThere(file) {
      const path = await repository.download(file)
      return path === undefined ? undefined : openOnDisk(path, waiting)
    },
    has: async (file) => (await repository.find(file)) !== undefined,
    list: () => repository.list(),
  })
}

/** Files of a data set of the hub, such as allenai/ai2_arc, or piqa of those that have no owner. */
export const datasetTree = (
  repository: string,
  { revision = "main", cache, ...waiting }: Waiting & DatasetPlace = {},
): FileTree => hubTree({ kind: "datasets", repository, revision, file: undefined }, waiting, cache)

interface DatasetPlace {
  readonly revision?: string
  /** The folder of the cache, in place of the environment's. */
  readonly cache?: string | undefined
}

/** In a page, with the browser's cache. */
function keptTree(name: HubName, waiting: Waiting): FileTree {
  const endpoint = endpointOf(waiting.endpoint, "load: endpoint")
  const repository = pageRepository(name, { ...waiting, endpoint, token: waiting.token })
  const has = async (file: string) => (await repository.list()).includes(file)
  return treeOver(name, endpoint, { ...repository, has })
}

/** A tree of what finds, lists and opens files by names that are checked. */
function treeOver(
  name: HubName,
  endpoint: string,
  files: Required<Pick<FileTree, "has" | "list" | "openIfThere">>,
): FileTree {
  const nameOf = (file: string): string => {
    checkFileName(file)
    return `${hubText(name)}/${file}`
  }
  const openIfThere = async (file: string): Promise<OpenFile | undefined> => {
    checkFileName(file)
    return files.openIfThere(file)
  }
  return {
    name: hubText(name),
    file: name.file,
    remark: remarkOf(name),
    nameOf,
    openIfThere,
    async has(file) {
      checkFileName(file)
      return files.has(file)
    },
    list: files.list,
    async open(file) {
      const found = await openIfThere(file)
      if (found) return found
      const page = `${endpoint}/${pagePath(name)}`
      throw new HubError("entry", `Cannot open ${nameOf(file)}: no such file. See ${page}`)
    },
  }
}

/** A page without a cache reads from the hub, each part when it is wanted. */
function treeOfPage(name: HubName, waiting: Waiting): FileTree {
  const revision = encodeURIComponent(name.revision)
  const folder = `${endpointOf(waiting.endpoint, "load: endpoint")}/${pagePath(name)}/resolve/${revision}`
  const tree = httpTree(folder, false, waiting)
  return { ...tree, name: hubText(name), file: name.file, remark: remarkOf(name) }
}

/** Apple published the models without the tokenizer that they were trained with. */
function remarkOf({ repository }: HubName): string | undefined {
  if (!/^apple\/OpenELM/i.test(repository)) return undefined
  return (
    "OpenELM uses the tokenizer of Llama 2, which its repositories do not hold: ask for access at " +
    "https://huggingface.co/meta-llama/Llama-2-7b-hf, set HF_TOKEN, and give --tokenizer " +
    "meta-llama/Llama-2-7b-hf, or the tokenizer.model as a file"
  )
}

/** Where a file is: in the cache, or what has to be downloaded for it. */
type Found = { readonly path: string } | HubFile

function repositoryOf(name: HubName, waiting: Waiting, folder = hubSettings().cache) {
  const { endpoint: own, token, isOffline } = hubSettings()
  const endpoint =
    waiting.endpoint === undefined ? own : endpointOf(waiting.endpoint, "load: endpoint")
  const asker: Asker = { ...waiting, endpoint, token: waiting.token ?? token }
  const cache = hubCache(folder, name)
  const isFixed = isCommit(name.revision)
  /** Of all files, from the first answer on. */
  let commit = isFixed ? name.revision : undefined
  const known = new Map<string, Promise<Found | undefined>>()

  /** What is known without asking: undefined for a file that is missing, null for nothing. */
  const cached = (of: string, file: string): Found | undefined | null => {
    const path = cache.fileOf(of, file)
    if (path !== undefined) return { path }
    return cache.lacks(of, file) ? undefined : null
  }
  /** The cache in place of a hub that does not answer, or does not let in any more. */
  const instead = (file: string, why: () => Error): Found | undefined => {
    const of = commit ?? cache.commitOf(name.revision)
    const found = of === undefined ? null : cached(of, file)
    if (found === null) throw why()
    return found
  }
  const asked = async (file: string): Promise<Found | undefined> => {
    try {
      const at = { ...name, revision: commit ?? name.revision }
      const found = await fileAt(at, file, asker)
      if (!isFixed && commit === undefined) await cache.keepCommit(name.revision, found.commit)
      commit ??= found.commit
      const path = cache.fileOf(commit, file)
      return path === undefined ? found : { path }
    } catch (error) {
      waiting.signal?.throwIfAborted()
      const fault = error instanceof HubError ? error.fault : "server"
      if (fault === "entry") {
        const of = commit ?? cache.commitOf(name.revision)
        if (of !== undefined) await cache.keepLack(of, file)
        return undefined
      }
      if (fault !== "server" && fault !== "gated") throw error
      return instead(
        file,
        () => (fault === "gated" ? error : unanswered(name, file, endpoint, error)) as Error,
      )
    }
  }
  const found = (file: string): Promise<Found | undefined> | Found | undefined => {
    const here = isFixed ? cached(name.revision, file) : null
    if (here !== null) return here
    if (isOffline) return instead(file, () => notCached(name, file))
    return asked(file)
  }
  const find = (file: string): Promise<Found | undefined> => {
    const before = known.get(file) ?? (async () => found(file))()
    known.set(file, before)
    return before
  }
  return {
    endpoint,
    find,
    /** The path of a file, downloaded if need be; undefined where there is none. */
    async download(file: string): Promise<string | undefined> {
      const what = await find(file)
      if (!what) return undefined
      if ("path" in what) return what.path
      const { hash } = what
      const how = {
        name: `${hubText(name)}/${file}`,
        asker,
        again: () => fileAt({ ...name, revision: what.commit }, file, asker),
        onDownload: waiting.onDownload,
      }
      const isThere = (): boolean => cache.hasBlob(hash)
      const work = (): Promise<void> => download(what, cache.blob(hash), how)
      if (!isThere()) await withLock(cache.lock(hash), isThere, work, waiting.signal)
      return cache.link(what.commit, file, hash)
    },
    async list(): Promise<readonly string[]> {
      const of = commit ?? cache.commitOf(name.revision)
      if (!isOffline) return filesAt({ ...name, revision: commit ?? name.revision }, asker)
      return of === undefined ? [] : filesIn(cache.snapshot(of))
    },
  }
}

function unanswered(name: HubName, file: string, endpoint: string, cause: unknown): HubError {
  const { status } = cause as { readonly status?: number }
  const answer = status === undefined ? "does not answer" : `answers with status ${status}`
  const elsewhere = name.kind === undefined ? "no folder of that name is here, and " : ""
  const text = `${elsewhere}the hub that may have it, ${endpoint}, ${answer}`
  return new HubError("server", `Cannot open ${file} of ${hubText(name)}: ${text}`, { cause })
}

const notCached = (name: HubName, file: string): HubError =>
  new HubError(
    "offline",
    `Cannot open ${file} of ${hubText(name)}: no folder of that name is here, the cache of the hub does not ` +
      "have it, and HF_HUB_OFFLINE is set",
  )

async function filesIn(folder: string): Promise<string[]> {
  const { readdir } = fromNode("node:fs/promises")
  const entries = await readdir(folder, { recursive: true }).catch(() => [])
  return entries.map((entry) => entry.replaceAll("\\", "/")).sort()
}
