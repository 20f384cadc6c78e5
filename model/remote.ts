// Files behind http and https, read in blocks where the server gives ranges, as a whole where it does
// not. What a server says about sizes is checked; what the bytes mean is left to others.
import type { OpenFile } from "./files.ts"

/** Bytes asked for at a time, and how many such blocks of a file are kept. */
const blockBytes = 8 << 20
const blocksKept = 4

export const isRemote = (path: string): boolean => /^https?:\/\//i.test(path)

/** The URL of a file in a folder; a query, such as that of a signed URL, stays. */
export function remoteFileIn(folder: string, name: string): string {
  const url = new URL(folder)
  url.pathname = `${url.pathname.replace(/\/$/, "")}/${name}`
  return url.href
}

/** Whether the server has the file. Throws Error where it says neither yes nor no. */
export async function remoteIsThere(url: string): Promise<boolean> {
  const response = await ask(url, "bytes=0-0")
  await response.body?.cancel()
  // 416: the file is there, but empty.
  if (response.ok || response.status === 416) return true
  if (response.status === 404 || response.status === 410) return false
  throw refused(url, response)
}

/** What one answer holds, and how long the whole file is. */
interface Part {
  readonly start: number
  readonly bytes: Uint8Array
  readonly size: number
  readonly version: string | null
}

/** Opens a file. Throws Error that names the URL where it is missing or cannot be read. */
export async function openRemote(url: string): Promise<OpenFile> {
  const first = await fetchPart(url, 0)
  const { size, version } = first
  // The whole file, or the blocks that were read last.
  const whole = first.bytes.length === size ? first : undefined
  const blocks = new Map([[0, first]])
  let closed = false
  const blockAt = async (start: number): Promise<Part> => {
    const block = whole ?? blocks.get(start) ?? (await fetchPart(url, start))
    if (block.size !== size || block.version !== version) {
      throw new Error(`${url} changed while it was read. Load it again`)
    }
    blocks.delete(start)
    blocks.set(start, block)
    for (const oldest of blocks.keys()) if (blocks.size > blocksKept) blocks.delete(oldest)
    return block
  }
  return {
    size,
    async readAt(position, target) {
      if (closed) throw new Error(`${url} is closed. Open it again`)
      for (let done = 0; done < target.length; ) {
        const at = position + done
        const { start, bytes } = await blockAt(at - (at % blockBytes))
        const piece = bytes.subarray(at - start, at - start + target.length - done)
        if (piece.length === 0) throw new Error(`${url} ended early. Load it again`)
        target.set(piece, done)
        done += piece.length
      }
    },
    close() {
      closed = true
      blocks.clear()
    },
  }
}

/** A block of a file, or all of it from a server that gives no ranges, or hides their sizes. */
async function fetchPart(url: string, start: number): Promise<Part> {
  let response = await ask(url, `bytes=${start}-${start + blockBytes - 1}`)
  if (response.status === 206 && !response.headers.has("content-range")) {
    await response.body?.cancel()
    response = await ask(url)
  }
  if (response.status === 416 && start === 0) {
    await response.body?.cancel()
    return { start, bytes: new Uint8Array(), size: 0, version: null }
  }
  if (!response.ok) throw refused(url, response)
  const bytes = await bodyOf(url, response)
  const version = response.headers.get("etag")
  if (response.status !== 206) return { start: 0, bytes, size: bytes.length, version }
  const said = response.headers.get("content-range") ?? ""
  const [, from, to, size] = (/^bytes (\d+)-(\d+)\/(\d+)$/.exec(said) ?? []).map(Number)
  if (from === start && to === start + bytes.length - 1 && size !== undefined && to < size) {
    return { start, bytes, size, version }
  }
  throw new Error(
    `Cannot read ${url}: asked for bytes from ${start}, got ${bytes.length} as ` +
      `${JSON.stringify(said)}. Use another server`,
  )
}

async function ask(url: string, range?: string): Promise<Response> {
  try {
    return await fetch(url, range === undefined ? {} : { headers: { range } })
  } catch (cause) {
    throw new Error(
      `Cannot open ${url}: the server does not answer. Check the address, and that it allows ` +
        "other sites (CORS) where the page is not its own",
      { cause },
    )
  }
}

const refused = (url: string, { status }: Response): Error =>
  new Error(
    status === 404 || status === 410
      ? `Cannot open ${url}: no such file. Check the address`
      : `Cannot open ${url}: the server answers with status ${status}. Check the address`,
  )

async function bodyOf(url: string, response: Response): Promise<Uint8Array> {
  const { headers } = response
  const told = headers.has("content-encoding") ? null : headers.get("content-length")
  const body = await response.arrayBuffer().catch((cause: unknown) => {
    throw new Error(`${url} ended early: the connection broke. Load it again`, { cause })
  })
  if (told === null || Number(told) === body.byteLength) return new Uint8Array(body)
  throw new Error(`${url} ended early: ${body.byteLength} of ${told} bytes. Load it again`)
}
