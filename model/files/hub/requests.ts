// What is asked of a hub: what a file is (HEAD), and which files there are. The token goes to the hub
// alone, never to the host that it sends contents from.

import { isObject, parseJson, show } from "../../json.ts"
import { ask, bodyOf, leave, type Waiting } from "../http.ts"
import { HubError, refusalOf } from "./faults.ts"
import type { HubName } from "./name.ts"

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
const fileUrl = (endpoint: string, { repository, revision }: HubName, file: string): string =>
  `${endpoint}/${repository}/resolve/${encodeURIComponent(revision)}/${encoded(file)}`

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

/** Names of a revision's files. Throws as fileAt does. */
export async function filesAt(name: HubName, asker: Asker): Promise<readonly string[]> {
  const { endpoint, token } = asker
  const tree = `${endpoint}/api/models/${name.repository}/tree/${encodeURIComponent(name.revision)}`
  const names: string[] = []
  let next: string | undefined = `${tree}?recursive=true`
  for (let page = 0; next !== undefined && page < mostPages; page++) {
    const url: string = next
    const [entries, link] = await ask<readonly [unknown, string | null]>(
      url,
      headersFor(url, asker),
      asker,
      async (response, patience) => {
        const { status, headers } = response
        if (!response.ok) {
          await leave(response)
          const code = headers.get("x-error-code")
          throw refusalOf({ name, endpoint, hasToken: token !== undefined, status, code })
        }
        const { bytes, broken } = await bodyOf(url, response, patience, listLimit)
        if (broken) return { failure: broken }
        return { result: [parseJson(bytes, url), headers.get("link")] as const }
      },
    )
    if (!Array.isArray(entries)) throw new SyntaxError(`${url} is no list of files`)
    for (const entry of entries) {
      if (isObject(entry) && entry.type === "file") names.push(String(entry.path))
    }
    const [, more] = /<([^>]+)>;\s*rel="next"/.exec(link ?? "") ?? []
    next = more && new URL(more, url).href
  }
  return names.sort()
}
