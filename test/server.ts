// A server of files that does what servers do: ranges and conditions as RFC 9110 has them, and on
// demand whatever goes wrong on the way.
import { readFileSync, statSync } from "node:fs"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import type { Test } from "./tap.ts"

/** One request for a file. */
export interface Asked {
  readonly name: string
  readonly range: string | undefined
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** How often this file has been asked for before. */
  readonly before: number
  readonly response: ServerResponse
  /** The answer that a server in good order gives. */
  readonly good: (change?: Change) => void
}

/** What an answer in good order has otherwise. */
export interface Change {
  readonly file?: Buffer | undefined
  readonly ranges?: boolean
  readonly etag?: string | undefined
  /** Seconds since the file was changed; undefined for no Last-Modified. */
  readonly age?: number | undefined
  /** Most bytes of one range. */
  readonly most?: number
  /** What Content-Range says of the size. */
  readonly size?: string
  /** Only so many bytes are sent, then nothing, or the connection is reset. */
  readonly sent?: number
  readonly last?: "stall" | "reset"
  readonly gzip?: boolean
}

export type Circumstance = (asked: Asked) => void

export interface Served {
  readonly url: string
  /** File and range of each request, in order. */
  readonly log: readonly string[]
}

const isWeights = ({ name }: Asked): boolean => name.endsWith(".safetensors")

/** Something for the first `times` requests for the weights; after that, and else, all is well. */
export const weights =
  (act: Circumstance | Change, times = Number.POSITIVE_INFINITY): Circumstance =>
  (asked) => {
    if (!isWeights(asked) || asked.before >= times) return asked.good()
    if (typeof act === "function") act(asked)
    else asked.good(act)
  }

/** Answers with a status and a page. */
export const status =
  (code: number, headers: Record<string, string> = {}): Circumstance =>
  ({ response }) => {
    response.writeHead(code, headers).end("<h1>sorry</h1>")
  }

const began = Date.now()

/** Serves a folder under /models/it as long as the test lasts. */
export async function serveFolder(
  t: Test,
  folder: string,
  circumstance: Circumstance = ({ good }) => good(),
): Promise<Served> {
  const log: string[] = []
  const counts = new Map<string, number>()
  const server = createServer(({ url, headers }, response) => {
    const name = new URL(url ?? "/", "http://x").pathname.replace("/models/it/", "")
    const before = counts.get(name) ?? 0
    counts.set(name, before + 1)
    log.push(`${name} ${headers.range ?? "all"}`)
    const good = (change: Change = {}): void => answer(folder, name, headers, response, change)
    circumstance({ name, range: headers.range, headers, before, response, good })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/models/it`, log }
}

function answer(
  folder: string,
  name: string,
  headers: Asked["headers"],
  response: ServerResponse,
  change: Change,
): void {
  const path = join(folder, name)
  const found = statSync(path, { throwIfNoEntry: false })
  const file = change.file ?? (found?.isFile() ? readFileSync(path) : undefined)
  if (!file) {
    response.writeHead(404).end("not here")
    return
  }
  const { ranges = true, etag = "etag" in change ? undefined : '"1"', most = file.length } = change
  const modified = change.age === undefined ? undefined : new Date(began - 1000 * change.age)
  const marks = {
    ...(etag === undefined ? {} : { etag }),
    ...(modified && { "last-modified": modified.toUTCString() }),
  }
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(String(headers.range)) ?? []
  const condition = headers["if-range"]
  const holds =
    condition === undefined || condition === etag || condition === modified?.toUTCString()
  if (!ranges || from === undefined || !holds) {
    const body = change.gzip ? gzipSync(file) : file
    const encoding = change.gzip ? { "content-encoding": "gzip" } : {}
    response.writeHead(200, { ...marks, ...encoding, "content-length": body.length })
    send(response, body, change)
    return
  }
  const start = Number(from)
  const end = Math.min(Number(to) + 1, start + most, file.length)
  if (start >= file.length) {
    response.writeHead(416).end()
    return
  }
  const range = `bytes ${start}-${end - 1}/${change.size ?? file.length}`
  response.writeHead(206, { ...marks, "content-range": range, "content-length": end - start })
  send(response, file.subarray(start, end), change)
}

function send(response: ServerResponse, body: Buffer, { sent, last = "reset" }: Change): void {
  if (sent === undefined) {
    response.end(body)
    return
  }
  response.write(body.subarray(0, sent), () => {
    if (last === "reset") response.destroy()
  })
}
