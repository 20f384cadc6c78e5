// A service behind a socket of Node, Deno or Bun: requests in, responses out, and word of who has left.
import type { IncomingMessage, ServerResponse } from "node:http"
import { checkObject, checkWhole } from "../engine/index.ts"
import { fromNode } from "../engine/node.ts"
import { ApiError, errorBody } from "./errors.ts"
import { mostSeconds } from "./limits.ts"
import type { Service } from "./service.ts"

/** Where to listen. */
export interface ListenOptions {
  /** Default 127.0.0.1, which other machines do not reach. */
  readonly host?: string
  /** Default 8080; 0 takes any that is free. */
  readonly port?: number
  /** Seconds after which a client has left that takes nothing of an answer; default 60. */
  readonly stalledSeconds?: number
}

/** A socket that is open. */
export interface Listening {
  readonly url: string
  /** Takes no more connections, and ends when the last has ended. */
  close(): Promise<void>
}

const defaultPort = 8080

/** Serves on a socket. Rejects where the port is taken. */
export async function listen(service: Service, options: ListenOptions = {}): Promise<Listening> {
  if (typeof service?.fetch !== "function") throw new TypeError("listen: the service has no fetch")
  checkObject("listen: options", options)
  const { host = "127.0.0.1", port = defaultPort, stalledSeconds = 60 } = options
  checkWhole("listen: port", port, 0, 65535)
  checkWhole("listen: stalledSeconds", stalledSeconds, 1, mostSeconds)
  const { createServer } = fromNode("node:http")
  let isClosing = false
  const server = createServer((incoming, outgoing) => {
    // A connection that is kept for more requests would hold the end up.
    outgoing.on("close", () => isClosing && setImmediate(() => server.closeIdleConnections()))
    void exchange(service, incoming, outgoing, 1000 * stalledSeconds)
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(port, host, resolve)
  })
  const address = server.address()
  const taken = typeof address === "object" && address !== null ? address.port : port
  const name = host.includes(":") ? `[${host}]` : host
  return {
    url: `http://${name}:${taken}`,
    close: () =>
      new Promise((resolve, reject) => {
        isClosing = true
        server.close((error) => (error ? reject(error) : resolve()))
        server.closeIdleConnections()
      }),
  }
}

async function exchange(
  service: Service,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  stalledMs: number,
): Promise<void> {
  const left = new AbortController()
  outgoing.on("close", () => {
    if (!outgoing.writableFinished) left.abort(new Error("the client has left"))
  })
  try {
    const response = await service.fetch(requestOf(incoming, left.signal))
    outgoing.writeHead(response.status, Object.fromEntries(response.headers))
    for await (const part of response.body ?? []) {
      if (left.signal.aborted) break
      if (outgoing.write(part)) continue
      await drained(outgoing, left.signal, stalledMs)
    }
    outgoing.end()
  } catch (error) {
    // Amid an answer, what is there is not the whole; before it, the request was none.
    if (outgoing.headersSent) outgoing.destroy()
    else {
      outgoing.writeHead(400, { "content-type": "application/json" })
      outgoing.end(JSON.stringify(errorBody(new ApiError(400, (error as Error).message))))
    }
  }
}

function requestOf(incoming: IncomingMessage, signal: AbortSignal): Request {
  const { method = "GET", url = "/", headers } = incoming
  const pairs = Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().map((each): [string, string] => [name, each]),
  )
  const hasBody = method !== "GET" && method !== "HEAD"
  const body = incoming as unknown as AsyncIterable<Uint8Array>
  // A path that begins with two slashes is a path, not a host.
  const address = url.startsWith("/") ? `http://localhost${url}` : url
  return new Request(new URL(address, "http://localhost"), {
    ...{ method, headers: pairs, signal },
    // As Node takes one that comes while it is read.
    ...(hasBody ? ({ body, duplex: "half" } as unknown as RequestInit) : {}),
  })
}

/** Waits until there is room for more; a client that takes nothing for so long has left. */
async function drained(
  outgoing: ServerResponse,
  signal: AbortSignal,
  stalledMs: number,
): Promise<void> {
  const timer = setTimeout(() => outgoing.destroy(), stalledMs)
  await new Promise<void>((resolve) => {
    outgoing.once("drain", resolve)
    signal.addEventListener("abort", () => resolve(), { once: true })
  })
  clearTimeout(timer)
}
