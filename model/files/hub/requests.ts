// What is asked of a hub: what a file is (HEAD), and which files there are. The token goes to the hub
// alone, never to the host that it sends contents from.

import { isObject, parseJson, show } from "../../json.ts"
import { bodyOf } from "../body.ts"
import { ask, leave, type Waiting } from "../http.ts"
import { HubError, refusalOf } from "./faults.ts"
import { type HubName, isCommit, pagePath } from "./name.ts"

/** Who asks, and where. */
export interface Asker extends Waiting {
  readonly endpoint: string
  readonly token: string | undefined
}

/** What the hub says of a file. */
export interface HubFile {
  /** Of its content: SHA-256, or Git's SHA-1 of a blob, in hexadecimal digits. */
  readonly hash: string
  readonly size: number
  /** The commit that the revision has now. */
  readonly commit: string
  /** Where its content is. */
  readonly url: string
}

/** Most redirects that are followed within the hub, as for a repository that was renamed. */
const mostRedirects = 5

const encoded = (path: string): string => path.split("/").map(encodeURIComponent).join("/")

/** A revision is one step of an address. */
export const fileUrl = (endpoint: string, name: HubName, file: string): string =>
  `${endpoint}/${pagePath(name)}/resolve/${encodeURIComponent(name.revision)}/${encoded(file)}`

/** Headers for an address: with the token, if it is the hub's own. */
export function headersFor(url: string, { endpoint, token }: Asker): Record<string, string> {
  const isHub = new URL(url).host === new URL(endpoint).host
  return isHub && token !== undefined ? { authorization: `Bearer ${token}` } : {}
}

/** What a file is. Throws HubError for what is not there or refused, Error where the hub does not answer. */
export async function fileAt(name: HubName, file: string, asker: Asker): Promise<HubFile> {
  let url = fileUrl(asker.endpoint, name, file)
  for (let redirects = 0; redirects <= mostRedirects; redirects++) {
    const headers = { "accept-encoding": "identity", ...headersFor(url, asker) }
    const asking = { ...asker, method: "HEAD", redirect: "manual" } as const
    const { status, headers: said } = await ask(url, headers, asking, async (response) => {
      await leave(response)
      return { result: response }
    })
    const location = said.get("location")
    const isRedirect = status >= 300 && status < 400 && location !== null
    if (!isRedirect && (status < 200 || status >= 300)) {
      const { endpoint, token } = asker
      const code = said.get("x-error-code")
      const refusal = {
        name: { ...name, file },
        endpoint,
        hasToken: token !== undefined,
        status,
        code,
      }
      throw refusalOf(refusal)
    }
    // To another host, or to another place of this one by a whole address: the content.
    if (!isRedirect || /^[a-z][a-z\d+.-]*:|^\/\//i.test(location)) {
      return described(said, url, isRedirect ? new URL(location, url).href : url)
    }
    url = new URL(location, url).href
  }
  throw new HubError("server", `Cannot open ${url}: it redirects more than ${mostRedirects} times`)
}

function described(headers: Headers, asked: string, url: string): HubFile {
  const tag = headers.get("x-linked-etag") ?? headers.get("etag") ?? ""
  const hash = tag.replace(/^W\//, "").replaceAll('"', "")
  const size = Number(headers.get("x-linked-size") ?? headers.get("content-length") ?? Number.NaN)
  const commit = headers.get("x-repo-commit") ?? ""
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash) || !/^[0-9a-f]{40}$/.test(commit)) {
    const got = `ETag ${show(tag)} and X-Repo-Commit ${show(commit)}`
    throw new HubError("server", `Cannot read ${asked}: expected a hash and a commit, got ${got}`)
  }
  if (!Number.isSafeInteger(size) || size < 0) {
    throw new HubError("server", `Cannot read ${asked}: the hub does not say how long it is`)
  }
  return { hash, size, commit, url }
}

/** Bytes of a list, and pages of it, that are read. */
const listLimit = 16 << 20
const mostPages = 100

/** A file as a hub's list has it; `hash` as in HubFile. */
export interface HubEntry {
  readonly path: string
  readonly hash: string
  readonly size: number
}

/** Names of a revision's files. Throws as fileAt does. */
export async function filesAt(name: HubName, asker: Asker): Promise<readonly string[]> {
  return (await listAt(name, asker)).map(({ path }) => String(path)).sort()
}

/** The same with their hashes and sizes. */
export async function entriesAt(name: HubName, asker: Asker): Promise<readonly HubEntry[]> {
  const entries = await listAt(name, asker)
  return entries.map(({ path, oid, size, lfs }) => {
    const { oid: hash, size: bytes } = isObject(lfs) ? lfs : { oid, size }
    const isHash = typeof hash === "string" && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash)
    if (isHash && Number.isSafeInteger(bytes) && typeof path === "string") {
      return { path, hash, size: bytes as number }
    }
    const at = `${asker.endpoint}/${pagePath(name)}`
    throw new HubError("server", `Cannot read ${show(path)} of ${at}: it has no hash or no size`)
  })
}

/** The commit that a revision has now. Throws as fileAt does. */
export async function commitAt(name: HubName, asker: Asker): Promise<string> {
  const { kind = "models", repository, revision } = name
  const at = `${asker.endpoint}/api/${kind}/${repository}/revision/${encodeURIComponent(revision)}`
  const [said] = await answerAt(at, name, asker)
  if (isObject(said) && typeof said.sha === "string" && isCommit(said.sha)) return said.sha
  throw new HubError("server", `${at} names no commit`)
}

/** Files of a revision as the hub's lists have them, page by page. */
async function listAt(name: HubName, asker: Asker): Promise<Record<string, unknown>[]> {
  const { endpoint } = asker
  const { kind = "models", repository, revision } = name
  const tree = `${endpoint}/api/${kind}/${repository}/tree/${encodeURIComponent(revision)}`
  const files: Record<string, unknown>[] = []
  let next: string | undefined = `${tree}?recursive=true`
  for (let page = 0; next !== undefined && page < mostPages; page++) {
    const url: string = next
    const [entries, link] = await answerAt(url, name, asker)
    if (!Array.isArray(entries)) throw new SyntaxError(`${url} is no list of files`)
    for (const entry of entries) {
      if (isObject(entry) && entry.type === "file") files.push({ ...entry })
    }
    const [, more] = /<([^>]+)>;\s*rel="next"/.exec(link ?? "") ?? []
    next = more && new URL(more, url).href
  }
  return files
}

/** What the hub's API says, and its Link header. */
const answerAt = (url: string, name: HubName, asker: Asker) =>
  ask<readonly [unknown, string | null]>(
    url,
    headersFor(url, asker),
    asker,
    async (response, patience) => {
      const { status, headers } = response
      if (!response.ok) {
        await leave(response)
        const { endpoint, token } = asker
        const code = headers.get("x-error-code")
        throw refusalOf({ name, endpoint, hasToken: token !== undefined, status, code })
      }
      const { bytes, broken } = await bodyOf(url, response, patience, listLimit)
      if (broken) return { failure: broken }
      return { result: [parseJson(bytes, url), headers.get("link")] as const }
    },
  )
