// A hub with one repository of two names and one that is gated, and the host that it sends large contents from,
// which does on demand whatever goes wrong on the way.
import { createHash } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import type { Test } from "./tap.ts"

/** Commit of the repository, and the one that touched the large file last. */
export const head = "2".repeat(40)

/** A file of the repository: contents of large ones are on another host. */
export interface HubContent {
  readonly bytes: Buffer
  readonly isLarge?: boolean
  /** In place of its own hash. */
  readonly hash?: string
}

/** What becomes of a request for a large content, the n-th from 0; "good" is an answer in order. */
export type Trouble = (
  n: number,
  response: ServerResponse,
  request: IncomingMessage,
  good: (part?: { readonly sent?: number; readonly ranges?: boolean }) => unknown,
) => unknown

export interface ServedHub {
  readonly endpoint: string
  /** Method, address and token of each request to the hub, in order. */
  readonly asked: string[]
  /** Range and token of each request to the other host. */
  readonly contents: string[]
  files: Record<string, HubContent>
  /** Files of data sets, by REPOSITORY@REVISION. */
  datasets: Record<string, Record<string, HubContent>>
  trouble: Trouble
  /** Status of every answer of the hub, where it is not in order. */
  status: number | undefined
  /** Signs addresses anew: those before are forbidden. */
  signature: number
}

/** SHA-256, or, of a small file, that of a blob of Git. */
export const hashOf = ({ bytes, isLarge }: HubContent): string =>
  isLarge
    ? createHash("sha256").update(bytes).digest("hex")
    : createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex")

/** Serves as long as the test lasts. */
export async function serveHub(t: Test, files: Record<string, HubContent>): Promise<ServedHub> {
  const listen = async (
    answer: (request: IncomingMessage, response: ServerResponse) => unknown,
  ) => {
    const server = createServer(answer)
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  const other = await listen((request, response) => answerContent(served, request, response))
  const endpoint = await listen((request, response) => answerHub(served, other, request, response))
  const served: ServedHub = {
    endpoint,
    asked: [],
    contents: [],
    files,
    datasets: {},
    trouble: (_n, _response, _request, good) => good(),
    status: undefined,
    signature: 1,
  }
  return served
}

const variables = [
  ...["HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH"],
  ...["HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"],
]
const before = Object.fromEntries(variables.map((name) => [name, process.env[name]]))
const restore = (): void => {
  for (const name of variables) {
    if (before[name] === undefined) delete process.env[name]
    else process.env[name] = before[name]
  }
}

/** 300,000 bytes. */
export const large = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (31 * i + 7) & 255))
/** The files of the repository. */
export const contents = () => ({
  "config.json": { bytes: Buffer.from('{"model_type":"openelm"}\n') },
  "sub/readme.txt": { bytes: Buffer.from("hi\n") },
  "model.safetensors": { bytes: large, isLarge: true },
})

/** A hub, and a cache of its own as the environment names it. */
export async function hubFor(
  t: Test,
  token?: string,
): Promise<ServedHub & { readonly cache: string }> {
  const served = await serveHub(t, contents())
  const cache = t.testdir()
  for (const name of variables) delete process.env[name]
  Object.assign(process.env, { HF_ENDPOINT: served.endpoint, HF_HUB_CACHE: cache, HF_HOME: cache })
  if (token !== undefined) process.env.HF_TOKEN = token
  t.teardown(restore)
  return Object.assign(served, { cache })
}

/** Lets pages of other sites read what is answered; whether one only asks if it may. */
function isOfPage({ method }: IncomingMessage, response: ServerResponse): boolean {
  response.setHeader("access-control-allow-origin", "*")
  response.setHeader("access-control-allow-headers", "authorization, range")
  response.setHeader("access-control-expose-headers", "content-range, etag, link, x-error-code")
  return method === "OPTIONS"
}

function answerHub(
  served: ServedHub,
  other: string,
  request: IncomingMessage,
  response: ServerResponse,
): unknown {
  const { method, url = "/", headers } = request
  const token = headers.authorization
  if (isOfPage(request, response)) return response.writeHead(204).end()
  served.asked.push(`${method} ${url} ${token ?? "-"}`)
  if (served.status !== undefined) return response.writeHead(served.status).end()
  const refuse = (status: number, code: string) =>
    response.writeHead(status, { "x-error-code": code }).end()
  const [path = ""] = url.split("?")
  const dataset = datasetAt(served, path)
  if (typeof dataset === "string") return refuse(token ? 404 : 401, dataset)
  if (dataset?.file === undefined && dataset)
    return answerList(served, dataset.files, url, response)
  if (path.startsWith("/gated/")) return refuse(token ? 403 : 401, "GatedRepo")
  if (/^\/api\/models\/org\/m\/revision\/main$/.test(path)) {
    return response.end(JSON.stringify({ sha: head }))
  }
  const [, list] = /^\/api\/models\/(?:org\/m|apple\/OpenELM-270M)\/tree\/(.+)$/.exec(path) ?? []
  if (list !== undefined) return answerList(served, served.files, url, response)
  const [, revision, file = ""] =
    /^\/(?:org\/m|apple\/OpenELM-270M)\/resolve\/([^/]+)\/(.+)$/.exec(path) ?? []
  if (!dataset && revision === undefined) return refuse(token ? 404 : 401, "RepoNotFound")
  const isKnown = dataset || revision === "main" || revision === head
  if (!isKnown) return refuse(404, "RevisionNotFound")
  const found = dataset?.found ?? served.files[decodeURIComponent(file)]
  if (!found) return refuse(404, "EntryNotFound")
  const hash = found.hash ?? hashOf(found)
  const marks = { "x-repo-commit": head, "accept-ranges": "bytes" }
  if (found.isLarge) {
    const linked = { "x-linked-etag": `"${hash}"`, "x-linked-size": found.bytes.length }
    const location = `${other}/blob/${file}?sig=${served.signature}`
    return response.writeHead(302, { ...marks, ...linked, location, etag: '"redirect"' }).end()
  }
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? []
  const all = found.bytes
  if (method === "HEAD" || from === undefined) {
    response.writeHead(200, { ...marks, etag: `"${hash}"`, "content-length": all.length })
    return response.end(method === "HEAD" ? undefined : all)
  }
  const end = Math.min(Number(to) + 1, all.length)
  const range = `bytes ${from}-${end - 1}/${all.length}`
  response.writeHead(206, { ...marks, etag: `"${hash}"`, "content-range": range })
  return response.end(all.subarray(Number(from), end))
}

/** What is asked of a data set: its list, or a file; the code of what is not there; undefined for others. */
function datasetAt({ datasets }: ServedHub, path: string) {
  const asked = /^(?:\/api)?\/datasets\/(.+)\/(?:tree|resolve)\/([^/]+)(?:\/(.+))?$/.exec(path)
  if (!asked) return undefined
  const [, repository = "", revision = "", file] = asked
  if (repository.startsWith("gated/")) return "GatedRepo"
  const names = Object.keys(datasets).map((name) => name.split("@"))
  if (!names.some(([name]) => name === repository)) return "RepoNotFound"
  const found = names.find(
    ([name, of]) => name === repository && of === decodeURIComponent(revision),
  )
  const isCommit = revision === head
  if (!found && !isCommit) return "RevisionNotFound"
  const files = Object.assign(
    {},
    ...names
      .filter(([name, of]) => name === repository && (isCommit || of === found?.[1]))
      .map((each) => datasets[each.join("@")]),
  ) as Record<string, HubContent>
  if (file !== undefined && !files[decodeURIComponent(file)]) return "EntryNotFound"
  return { files, file, found: file === undefined ? undefined : files[decodeURIComponent(file)] }
}

/** Two names a page. */
function answerList(
  { endpoint }: ServedHub,
  files: Record<string, HubContent>,
  url: string,
  response: ServerResponse,
): unknown {
  const names = Object.keys(files)
  const at = Number(new URL(url, endpoint).searchParams.get("at") ?? 0)
  const next = `<${endpoint}${url.split("?")[0]}?recursive=true&at=${at + 2}>; rel="next"`
  response.writeHead(200, at + 2 < names.length ? { link: next } : {})
  const entries = names.slice(at, at + 2).map((path) => {
    const { bytes, hash, ...rest } = files[path] as HubContent
    const [oid, size] = [hash ?? hashOf({ bytes, ...rest }), bytes.length]
    const git = { type: "file", path, oid: "0".repeat(40), size }
    return rest.isLarge ? { ...git, lfs: { oid, size } } : { ...git, oid }
  })
  return response.end(JSON.stringify([{ type: "directory", path: "sub" }, ...entries]))
}

function answerContent(
  served: ServedHub,
  request: IncomingMessage,
  response: ServerResponse,
): unknown {
  const { url = "/", headers } = request
  if (isOfPage(request, response)) return response.writeHead(204).end()
  const n = served.contents.length
  served.contents.push(`${headers.range ?? "all"} ${headers.authorization ?? "-"}`)
  const { pathname, searchParams } = new URL(url, served.endpoint)
  if (searchParams.get("sig") !== String(served.signature)) {
    return response.writeHead(403).end()
  }
  const file = served.files[decodeURIComponent(pathname.replace("/blob/", ""))]
  if (!file) return response.writeHead(404).end()
  return served.trouble(n, response, request, ({ sent, ranges = true } = {}) => {
    const all = file.bytes
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? []
    const [start, end] =
      ranges && from !== undefined
        ? [Number(from), Math.min(Number(to) + 1, all.length)]
        : [0, all.length]
    const range = { "content-range": `bytes ${start}-${end - 1}/${all.length}` }
    const length = { "content-length": end - start, etag: '"other"' }
    response.writeHead(ranges && from !== undefined ? 206 : 200, {
      ...length,
      ...(ranges && from ? range : {}),
    })
    const body = all.subarray(start, end)
    if (sent === undefined) return response.end(body)
    return response.write(body.subarray(0, sent), () => response.destroy())
  })
}
