// A service behind a socket of Node, Deno or Bun: requests in, responses out, and word of who has left.
import type { IncomingMessage, ServerResponse } from "node:http"
import { checkObject, checkWhole } from "../engine/index.ts"
import { fromNode } from "../engine/node.ts"
import type { Service } from "./service.ts"

/** Where to listen. */
export interface ListenOptions {
  /** Default 127.0.0.1, which other machines do not reach. */
  readonly host?: string
  /** Default 8080; 0 takes any that is free. */
  readonly port?: number
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
  const { host = "127.0.0.1", port = defaultPort } = options
  checkWhole("listen: port", port, 0, 65535)
  const { createServer } = fromNode("node:http")
  const server = createServer((incoming, outgoing) => void exchange(service, incoming, outgoing))
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
        server.close((error) => (error ? reject(error) : resolve()))
        server.closeIdleConnections()
      }),
  }
}

async function exchange(
  service: Service,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
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
      await drained(outgoing, left.signal)
    }
    outgoing.end()
  } catch (error) {
    // A request that is none, or a client that has left amid its answer.
    if (!outgoing.headersSent) outgoing.writeHead(400)
    outgoing.end(outgoing.headersSent ? undefined : String((error as Error).message))
  }
}

function requestOf(incoming: IncomingMessage, signal: AbortSignal): Request {
  const { method = "GET", url = "/", headers } = incoming
  const pairs = Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().map((each): [string, string] => [name, each]),
  )
  const hasBody = method !== "GET" && method !== "HEAD"
  const body = incoming as unknown as AsyncIterable<Uint8Array>
  return new Request(new URL(url, "http://localhost"), {
    ...{ method, headers: pairs, signal },
    // As Node takes one that comes while it is read.
    ...(hasBody ? ({ body, duplex: "half" } as unknown as RequestInit) : {}),
  })
}

const drained = (outgoing: ServerResponse, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    outgoing.once("drain", resolve)
    signal.addEventListener("abort", () => resolve(), { once: true })
  })
