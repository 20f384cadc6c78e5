// What a hub refuses, told apart by the code that it gives.
import { type HubName, hubText, pagePath } from "./name.ts"

/** gated: whose use has to be asked for; repository, revision, entry: not there; offline: not in the cache,
 *  and nothing may be asked for; server: it does not answer, or with a fault of its own. */
export type HubFault = "gated" | "repository" | "revision" | "entry" | "offline" | "server"

/** What went wrong with a repository. */
export class HubError extends Error {
  override readonly name = "HubError"
  readonly fault: HubFault

  constructor(fault: HubFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.fault = fault
  }
}

interface Refusal {
  readonly name: HubName
  readonly endpoint: string
  readonly hasToken: boolean
  readonly status: number
  /** X-Error-Code. */
  readonly code: string | null
}

/** What an answer that is no file means. */
export function refusalOf({ name, endpoint, hasToken, status, code }: Refusal): HubError {
  const { kind, repository, revision, file } = name
  const page = `${endpoint}/${pagePath(name)}`
  const said = `the hub answers with status ${status}`
  if (code === "GatedRepo") return new HubError("gated", gatedText(repository, page, hasToken))
  if (code === "RevisionNotFound") {
    return new HubError(
      "revision",
      `Cannot open ${hubText(name)}: ${repository} has no revision ${revision}. See ${page}`,
    )
  }
  if (code === "EntryNotFound") {
    return new HubError(
      "entry",
      `Cannot open ${file} of ${hubText(name)}: no such file. See ${page}`,
    )
  }
  if (code === "RepoNotFound" || status === 401 || status === 403 || status === 404) {
    const secret = hasToken
      ? "or it is private, and not for the owner of this token"
      : "or it is private: give the token of an account that may read it in HF_TOKEN"
    const elsewhere = kind === undefined ? "no folder of that name is here, and " : ""
    return new HubError(
      "repository",
      `Cannot open ${hubText(name)}: ${elsewhere}the hub has no such repository` +
        `${kind === undefined ? "" : " of data"}, ${secret} (${said})`,
    )
  }
  return new HubError("server", `Cannot open ${file} of ${hubText(name)}: ${said}. Try again later`)
}

function gatedText(repository: string, page: string, hasToken: boolean): string {
  const act = hasToken
    ? `the account of this token has no access. Ask for it at ${page}`
    : `ask for access at ${page}, then give the token of that account in HF_TOKEN`
  return `Cannot open ${repository}: it is gated, ${act}`
}
