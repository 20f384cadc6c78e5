// The files of a hub's repository in a page: downloaded into the page's Cache as they are opened, in ranges,
// several at a time, checked by their hashes, read from there from then on, without the hub too.
import { readByBlocks } from "../blocks.ts"
import { bodyOf } from "../body.ts"
import { ask, leave, type Waiting } from "../http.ts"
import { closedError, type OpenFile } from "../tree.ts"
import { HubError } from "./faults.ts"
import { type Content, type KeptFiles, lengthOf, openKept, pieceBytes, piecesOf } from "./kept.ts"
import { type HubName, hubText, isCommit } from "./name.ts"
import { type Asker, commitAt, entriesAt, fileUrl, type HubEntry, headersFor } from "./requests.ts"

const piecesAtOnce = 4
/** Pieces of an open file that are kept in memory: rows are read one after the other. */
const piecesInMemory = 2

/** A repository as of one commit. */
interface PageRepository {
  list(): Promise<readonly string[]>
  openIfThere(file: string): Promise<OpenFile | undefined>
}

/** Throws, when it is read, HubError for what the hub refuses, Error for contents that do not come. */
export function pageRepository(name: HubName, asker: Asker): PageRepository {
  const { endpoint, signal } = asker
  let opened: Promise<Found> | undefined
  const found = (): Promise<Found> => {
    opened ??= foundIn(name, asker)
    return opened
  }
  return {
    list: async () => (await found()).entries.map(({ path }) => path),
    async openIfThere(file) {
      const { kept, commit, entries } = await found()
      const entry = entries.find(({ path }) => path === file)
      if (!entry) return undefined
      const label = `${hubText(name)}/${file}`
      const url = fileUrl(endpoint, { ...name, revision: commit }, file)
      // Two tabs share a download.
      await navigator.locks.request(`${endpoint} ${entry.hash}`, async () => {
        if (!(await kept.hasContent(entry))) await download(url, label, entry, kept, asker)
      })
      return openPieces(label, entry, kept, signal)
    },
  }
}

interface Found {
  readonly kept: KeptFiles
  readonly commit: string
  readonly entries: readonly HubEntry[]
}

/** The commit and its files, from what is kept where the hub does not answer or does not let in. */
async function foundIn(name: HubName, asker: Asker): Promise<Found> {
  const kept = await openKept(`${asker.endpoint}/${name.repository}`)
  const or = async <T>(path: string, fresh: () => Promise<T>): Promise<T> => {
    try {
      const answer = await fresh()
      await kept.keepAnswer(path, answer)
      return answer
    } catch (error) {
      asker.signal?.throwIfAborted()
      const fault = error instanceof HubError ? error.fault : "server"
      const before = fault === "server" || fault === "gated" ? await kept.answer(path) : undefined
      if (before === undefined) throw error
      return before as T
    }
  }
  const { revision } = name
  const commit = isCommit(revision)
    ? revision
    : await or(`refs/${revision}`, () => commitAt(name, asker))
  const path = `trees/${commit}`
  // What a commit holds never changes.
  const known = (await kept.answer(path)) as readonly HubEntry[] | undefined
  const entries = known ?? (await or(path, () => entriesAt({ ...name, revision: commit }, asker)))
  return { kept, commit, entries }
}

/** Downloads what is missing of a content. Throws Error for one of another hash, of which nothing stays. */
async function download(
  url: string,
  label: string,
  content: Content,
  kept: KeptFiles,
  asker: Asker,
): Promise<void> {
  const missing: number[] = []
  for (let i = 0; i < piecesOf(content); i++) {
    if (!(await kept.hasPiece(content, i))) missing.push(i)
  }
  let bytes = content.size - missing.reduce((sum, i) => sum + lengthOf(content, i), 0)
  const add = async (i: number, piece: Uint8Array): Promise<void> => {
    await kept.keepPiece(content, i, piece)
    bytes += piece.length
    asker.onDownload?.(label, bytes, content.size)
  }
  const queue = missing.values()
  const work = async (): Promise<void> => {
    for (const i of queue) await add(i, await pieceAt(url, label, content, i, asker))
  }
  // All have to end, also where one fails.
  const ended = await Promise.allSettled(Array.from({ length: piecesAtOnce }, work))
  for (const result of ended) if (result.status === "rejected") throw result.reason
  if (await kept.seal(content)) return
  throw new Error(
    `${label} has another content than the hub says (its hash is not ${content.hash}). ` +
      "Nothing of it was kept: try again, and if that does not help, without a proxy",
  )
}

/** The bytes of a piece; out of the whole, where the server gives no ranges. */
function pieceAt(
  url: string,
  label: string,
  content: Content,
  i: number,
  asker: Asker,
): Promise<Uint8Array> {
  const start = i * pieceBytes
  const length = lengthOf(content, i)
  const headers = { ...(length > 0 && { range: `bytes=${start}-${start + length - 1}` }) }
  const asking = { ...headersFor(url, asker), ...headers }
  return ask<Uint8Array>(url, asking, asker, async (response, patience) => {
    if (!response.ok) {
      await leave(response)
      const { status } = response
      throw Object.assign(new Error(`Cannot read ${label}: the hub's status is ${status}`), {
        status,
      })
    }
    const isWhole = response.status === 200
    const limit = isWhole ? content.size : length
    const { bytes, broken } = await bodyOf(url, response, patience, limit)
    if (broken) return { failure: broken }
    const piece = isWhole ? bytes.subarray(start, start + length) : bytes
    if (piece.length === length) return { result: piece }
    return { failure: new Error(`${label} ended early: ${piece.length} of ${length} bytes came`) }
  })
}

/** A content that is kept, to be read anywhere in it. */
function openPieces(
  name: string,
  content: Content,
  kept: KeptFiles,
  signal: Waiting["signal"],
): OpenFile {
  const pieces = new Map<number, Uint8Array>()
  let isOpen = true
  const pieceOf = async (i: number): Promise<Uint8Array> => {
    const piece = pieces.get(i) ?? (await kept.piece(content, i))
    if (!piece) throw new Error(`${name} is no longer kept by the browser. Load it again`)
    pieces.delete(i)
    pieces.set(i, piece)
    for (const oldest of pieces.keys()) if (pieces.size > piecesInMemory) pieces.delete(oldest)
    return piece
  }
  return {
    name,
    size: content.size,
    async readAt(position, target) {
      signal?.throwIfAborted()
      if (!isOpen) throw closedError(name)
      if (position + target.length > content.size) {
        throw new Error(`${name} ended early. Load it again`)
      }
      await readByBlocks(position, target, pieceBytes, (start) => pieceOf(start / pieceBytes))
    },
    async close() {
      isOpen = false
      pieces.clear()
    },
  }
}
