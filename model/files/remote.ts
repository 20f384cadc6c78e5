// Files at http and https URLs, read in blocks where the server gives ranges, as a whole where it does
// not, or where it is not known whether two answers are of one version of the file. What the
// bytes mean is left to others.

import { show } from "../json.ts"
import { readByBlocks } from "./blocks.ts"
import { bodyOf, type Judge } from "./body.ts"
import {
  ask,
  isElsewhere,
  leave,
  mayBeLack,
  type Outcome,
  type Patience,
  refused,
  type Waiting,
} from "./http.ts"
import { judgedBytes } from "./kinds.ts"
import { closedError, type OpenFile } from "./tree.ts"
import { contradicts, isExact, rangeCondition, type Version, versionOf } from "./version.ts"

/** Bytes asked for at a time, and how many such blocks of a file are kept. */
const blockBytes = 8 << 20
const blocksKept = 4
/** Answers that one block may come in: a server may send less than it is asked for. */
const mostAnswers = 1024
/** Longest file that is taken as a whole where nobody says how long it may be. */
const wholeLimit = 4 * 2 ** 30

interface RemoteReading extends Waiting {
  /** Most bytes of a file that is taken as a whole. */
  readonly limit?: number | undefined
  /** Judges by its first bytes whether an answer is the file, not a page in its place. */
  readonly isLike?: Judge | undefined
  /** Whether the server answers with this status, 401 or 403, for what it lacks. */
  readonly isLack?: ((status: number) => Promise<boolean>) | undefined
}

/** Bytes of one answer, and which file they are of. */
interface FileBytes {
  readonly start: number
  readonly bytes: Uint8Array
  readonly size: number
  readonly version: Version
}

/** Opens a file. Throws Error that names the URL where it is missing or cannot be read. */
export async function openRequired(url: string, reading: RemoteReading = {}): Promise<OpenFile> {
  const file = await openRemote(url, reading)
  if (file) return file
  throw new Error(`Cannot open ${url}: no such file. Check the address`)
}

/** Opens a file; undefined where the server has none, or answers with something else in its place.
 *  Throws Error that names the URL where it cannot be read. */
export async function openRemote(
  url: string,
  reading: RemoteReading = {},
): Promise<OpenFile | undefined> {
  const first = await firstPiece(url, reading).catch(async (error: Error) => {
    const { status = 0 } = error as Partial<ReturnType<typeof refused>>
    if (mayBeLack(status) && (await reading.isLack?.(status))) return undefined
    throw error
  })
  if (!first) return undefined
  const { size } = first
  const blocks = new Map<number, Uint8Array>()
  let closed = false
  const blockAt = async (start: number): Promise<Uint8Array> => {
    const length = Math.min(blockBytes, size - start)
    const block = blocks.get(start) ?? (await blockOf(url, first, start, length, reading))
    blocks.delete(start)
    blocks.set(start, block)
    for (const oldest of blocks.keys()) if (blocks.size > blocksKept) blocks.delete(oldest)
    return block
  }
  return {
    name: url,
    size,
    async readAt(position, target) {
      reading.signal?.throwIfAborted()
      if (closed) throw closedError(url)
      if (position + target.length > size) throw new Error(`${url} ended early. Load it again`)
      if (first.bytes.length === size) {
        target.set(first.bytes.subarray(position, position + target.length))
        return
      }
      await readByBlocks(position, target, blockBytes, blockAt)
    },
    async close() {
      closed = true
      blocks.clear()
    },
  }
}

// ---- Pieces -------------------------------------------------------------------------------------

/** No such file; or one of which no part is of use, as its size or its version is not known. */
type Without = "missing" | "whole"

/** The first block, or all of a file that has to come at once; undefined for no file. */
async function firstPiece(url: string, reading: RemoteReading): Promise<FileBytes | undefined> {
  const piece = await requested(url, reading, { start: 0, end: blockBytes })
  if (piece === "missing") return undefined
  if (piece !== "whole") {
    const start = Math.min(piece.size, judgedBytes)
    const isFile = reading.isLike?.(await blockOf(url, piece, 0, start, reading)) ?? true
    if (!isFile) return undefined
    if (piece.bytes.length === piece.size || isExact(piece.version)) return piece
  }
  const whole = await requested(url, reading)
  if (whole === "missing") return undefined
  if (whole === "whole" || whole.bytes.length < whole.size) {
    throw new Error(`Cannot read ${url}: the server gives parts only, and not of which version`)
  }
  return (reading.isLike?.(whole.bytes.subarray(0, judgedBytes)) ?? true) ? whole : undefined
}

/** A part of a file of which some has come already, in as many answers as it takes. */
async function blockOf(
  url: string,
  first: FileBytes,
  start: number,
  length: number,
  reading: RemoteReading,
): Promise<Uint8Array> {
  const known = first.bytes.subarray(start, start + length)
  if (known.length === length) return known
  const block = new Uint8Array(length)
  block.set(known)
  let done = known.length
  for (let answers = 0; done < length && answers < mostAnswers; answers++) {
    const at = start + done
    const piece = await requested(url, reading, { start: at, end: start + length, first })
    if (typeof piece === "string" || piece.size !== first.size) throw changed(url)
    const from = at - piece.start
    const bytes = piece.bytes.subarray(from, from + length - done)
    block.set(bytes, done)
    done += bytes.length
  }
  if (done === length) return block
  throw new Error(`Cannot read ${url}: ${length} bytes come in more than ${mostAnswers} parts`)
}

interface ByteRange {
  readonly start: number
  readonly end: number
  /** The piece that came first, of whose version this one must be. */
  readonly first?: FileBytes
}

/** Asks for a range, or without one for the whole file. */
function requested(
  url: string,
  reading: RemoteReading,
  range?: ByteRange,
): Promise<FileBytes | Without> {
  const { start = 0, first } = range ?? {}
  // Other sites would have to allow this header; what they answer is compared all the same.
  const condition = first && !isElsewhere(url) ? rangeCondition(first.version) : {}
  const headers = {
    ...(range && { range: `bytes=${range.start}-${range.end - 1}` }),
    ...condition,
  }
  return ask(url, headers, reading, async (response, patience) => {
    const { ok, status } = response
    if (!ok) return nothingOf(url, response, start)
    const version = versionOf(response.headers)
    const isConfirmed = "if-range" in headers && status === 206
    if (first && contradicts(first.version, version, isConfirmed)) {
      await leave(response)
      throw changed(url)
    }
    if (status === 206) return partOf(url, response, patience, range, version)
    const limit = first?.size ?? reading.limit ?? wholeLimit
    const judge = first ? undefined : reading.isLike
    const { bytes, broken, isOther } = await bodyOf(url, response, patience, limit, judge)
    if (isOther) return { result: "missing" }
    if (broken) return { failure: broken }
    return { result: { start: 0, bytes, size: bytes.length, version } }
  })
}

type Answer = Outcome<FileBytes | Without>

/** What an answer without a file says. */
async function nothingOf(url: string, response: Response, start: number): Promise<Answer> {
  await leave(response)
  const { status, headers } = response
  if (status === 404 || status === 410) return { result: "missing" }
  if (status !== 416) throw refused(url, response)
  // Nothing begins where a file ends: an empty one, or one that is shorter now.
  if (start > 0) throw changed(url)
  return { result: { start, bytes: new Uint8Array(), size: 0, version: versionOf(headers) } }
}

/** A part, which may be less than asked for: of what breaks off, that much has come. */
async function partOf(
  url: string,
  response: Response,
  patience: Patience,
  range: ByteRange | undefined,
  version: Version,
): Promise<Answer> {
  const said = response.headers.get("content-range")
  const [, from, to, size] = (/^bytes (\d+)-(\d+)\/(\d+)$/.exec(said ?? "") ?? []).map(Number)
  const { start = 0, end = blockBytes } = range ?? {}
  if (size === undefined || from === undefined || to === undefined) {
    await leave(response)
    // Hidden from pages of other sites, or of an untold size.
    if (said === null || /^bytes \d+-\d+\/\*$/.test(said)) return { result: "whole" }
    throw new Error(`Cannot read ${url}: got the range ${show(said)}. Use another server`)
  }
  const length = to - from + 1
  if (from !== start || length < 1 || to >= end || to >= size) {
    await leave(response)
    const got = `asked for bytes from ${start}, got ${length} as ${show(said)}`
    throw new Error(`Cannot read ${url}: ${got}. Use another server`)
  }
  const { bytes, broken } = await bodyOf(url, response, patience, length)
  if (broken && bytes.length === 0) return { failure: broken }
  return { result: { start, bytes, size, version } }
}

const changed = (url: string): Error => new Error(`${url} changed while it was read. Load it again`)
