// The content of a file into the cache: in ranges, several at a time, written in order, so that what came is
// a beginning from which the next try goes on, Python's too; checked by its hash before it gets its name.
import type { Hash } from "node:crypto"
import type { FileHandle } from "node:fs/promises"
import { fromNode } from "../../../engine/node.ts"
import { bodyOf } from "../body.ts"
import { ask, leave, type Outcome } from "../http.ts"
import { type Asker, type HubFile, headersFor } from "./requests.ts"

/** Told of bytes that have come, and how many there are in all. */
type DownloadProgress = (name: string, bytes: number, total: number) => void

interface Downloading {
  readonly name: string
  readonly asker: Asker
  /** Asks again what the file is: addresses of contents are good for a while only. */
  readonly again: () => Promise<HubFile>
  readonly onDownload: DownloadProgress | undefined
}

/** Bytes of a range, and how many are on the way at a time. */
const pieceBytes = 8 << 20
const piecesAtOnce = 4
/** Answers in a row that bring nothing, until it is given up. */
const mostEmpty = 4

/** Downloads a content to `path`, by way of `path`.incomplete, from what is there of it on. Throws Error for
 *  a content of another hash, of which nothing stays, or where the server does not give it. */
export async function download(file: HubFile, path: string, how: Downloading): Promise<void> {
  const fs = fromNode("node:fs/promises")
  await fs.mkdir(fromNode("node:path").dirname(path), { recursive: true })
  const partial = `${path}.incomplete`
  const begun = await fs.stat(partial).then(
    ({ size }) => size,
    () => 0,
  )
  const kept = begun > file.size ? 0 : begun
  const found = await attempt(file, partial, kept, how)
  // What another program began may be of something else.
  const isRight =
    found === file.hash || (kept > 0 && (await attempt(file, partial, 0, how)) === file.hash)
  if (isRight) return fs.rename(partial, path)
  await fs.rm(partial, { force: true })
  throw new Error(
    `${how.name} has another content than the hub says (its hash is not ${file.hash}). ` +
      "Nothing of it was kept: try again, and if that does not help, without a proxy",
  )
}

/** Reads what is kept and downloads the rest: the hash of all. */
async function attempt(
  file: HubFile,
  partial: string,
  kept: number,
  how: Downloading,
): Promise<string> {
  const target = await fromNode("node:fs/promises").open(partial, kept > 0 ? "r+" : "w")
  try {
    await target.truncate(kept)
    const into = sinkOf(file, target, how)
    for (const piece = new Uint8Array(pieceBytes); into.size() < kept; ) {
      const length = Math.min(piece.length, kept - into.size())
      const { bytesRead } = await target.read(piece, 0, length, into.size())
      if (bytesRead === 0) throw new Error(`${partial} ended early: another program changed it`)
      into.known(piece.subarray(0, bytesRead))
    }
    await fill(file, into, how)
    await target.sync()
    return into.hash()
  } finally {
    await target.close()
  }
}

/** A file that grows in order, and the hash of what is in it. */
function sinkOf(file: HubFile, target: FileHandle, { name, onDownload }: Downloading) {
  let hash = hashFor(file)
  let size = 0
  return {
    size: () => size,
    hash: (): string => hash.digest("hex"),
    known(bytes: Uint8Array): void {
      hash.update(bytes)
      size += bytes.length
    },
    async add(bytes: Uint8Array): Promise<void> {
      if (size + bytes.length > file.size)
        throw new RangeError(`${name} has more than ${file.size} bytes`)
      for (let done = 0; done < bytes.length; ) {
        done += (await target.write(bytes, done, bytes.length - done, size + done)).bytesWritten
      }
      this.known(bytes)
      onDownload?.(name, size, file.size)
    },
    /** Begins anew, for a server that gives a file as a whole only. */
    async restart(): Promise<void> {
      await target.truncate(0)
      hash = hashFor(file)
      size = 0
    },
  }
}

type Sink = ReturnType<typeof sinkOf>

/** Git hashes a blob behind its length. */
function hashFor({ hash, size }: HubFile): Hash {
  const { createHash } = fromNode("node:crypto")
  return hash.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`)
}

/** Downloads from where the file ends to its end. */
async function fill(file: HubFile, into: Sink, how: Downloading): Promise<void> {
  let from = file
  for (let empty = 0; into.size() < file.size; ) {
    const before = into.size()
    const starts: number[] = []
    for (let at = before; at < file.size && starts.length < piecesAtOnce; at += pieceBytes) {
      starts.push(at)
    }
    const pieces = starts.map((at) => pieceAt(from, at, at > before ? undefined : into, how))
    // All have to end, also where one fails.
    const ended = await Promise.allSettled(pieces)
    for (const [i, result] of ended.entries()) {
      if (result.status === "rejected") {
        if (!isExpired(result.reason)) throw result.reason
        from = await how.again()
        break
      }
      // One that came in part ends what follows on it.
      if (into.size() !== starts[i] || result.value === undefined) break
      await into.add(result.value)
    }
    empty = into.size() > before ? 0 : empty + 1
    if (empty === mostEmpty) {
      throw new Error(
        `${how.name} ended early: ${into.size()} of ${file.size} bytes came. Try again`,
      )
    }
  }
}

/** Addresses of contents are signed for a while: then they are forbidden. */
const isExpired = (error: unknown): boolean =>
  [401, 403, 410].includes((error as { status?: number }).status ?? 0)

/** The bytes of a piece, as far as they came. Where the server gives the whole only, that is written to
 *  `into`, if given, and nothing returned. */
function pieceAt(
  file: HubFile,
  start: number,
  into: Sink | undefined,
  how: Downloading,
): Promise<Uint8Array | undefined> {
  const { url, size } = file
  const end = Math.min(start + pieceBytes, size)
  const headers = {
    range: `bytes=${start}-${end - 1}`,
    "accept-encoding": "identity",
    ...headersFor(url, how.asker),
  }
  return ask<Uint8Array | undefined>(url, headers, how.asker, async (response, patience) => {
    if (response.status === 200) return wholeOf(response, patience, into, how.name)
    const said = response.headers.get("content-range") ?? ""
    const isRange = response.status === 206 && said.startsWith(`bytes ${start}-`)
    if (!isRange || !said.endsWith(`/${size}`)) {
      await leave(response)
      const { status } = response
      const got = `asked for bytes from ${start} of ${size}, got status ${status} ${said}`
      throw Object.assign(new Error(`Cannot read ${how.name}: ${got}`), { status })
    }
    const { bytes, broken } = await bodyOf(url, response, patience, end - start)
    if (broken && bytes.length === 0) return { failure: broken }
    return { result: bytes }
  })
}

async function wholeOf(
  response: Response,
  patience: { restart(): void },
  into: Sink | undefined,
  name: string,
): Promise<Outcome<undefined>> {
  if (!into) {
    await leave(response)
    return { result: undefined }
  }
  await into.restart()
  try {
    for (const reader = response.body?.getReader(); reader; ) {
      const { value } = await reader.read()
      if (!value) break
      patience.restart()
      await into.add(value)
    }
  } catch (cause) {
    if (cause instanceof RangeError) throw cause
    return { failure: new Error(`${name} ended early: the connection broke. Try again`, { cause }) }
  }
  return { result: undefined }
}
