// Where the hub is, where its files are kept, and who asks: as Python's huggingface_hub takes them from
// the environment, so that both share one cache and one token.
import { fromNode, isNode } from "../../../engine/node.ts"
import { show } from "../../json.ts"

interface HubSettings {
  /** Address of the hub, without a slash at its end. */
  readonly endpoint: string
  /** The folder of repositories. */
  readonly cache: string
  readonly token: string | undefined
  /** Whether nothing may be asked for. */
  readonly isOffline: boolean
}

type Environment = Readonly<Record<string, string | undefined>>

const defaultEndpoint = "https://huggingface.co"

/** The settings of an environment. Throws RangeError for an HF_ENDPOINT that is no http or https URL, Error
 *  for a file of a token that cannot be read. */
export function hubSettings(environment: Environment = process.env): HubSettings {
  const { join } = fromNode("node:path")
  const given = (name: string): string | undefined => environment[name]?.trim() || undefined
  const user = fromNode("node:os").homedir()
  const kept = given("XDG_CACHE_HOME") ?? join(user, ".cache")
  const home = expanded(given("HF_HOME"), user) ?? join(kept, "huggingface")
  const cache = given("HF_HUB_CACHE") ?? given("HUGGINGFACE_HUB_CACHE")
  return {
    endpoint: endpointOf(given("HF_ENDPOINT")),
    cache: expanded(cache, user) ?? join(home, "hub"),
    token:
      given("HF_TOKEN") ??
      given("HUGGING_FACE_HUB_TOKEN") ??
      tokenIn(expanded(given("HF_TOKEN_PATH"), user) ?? join(home, "token")),
    isOffline: /^(1|on|yes|true)$/i.test(given("HF_HUB_OFFLINE") ?? ""),
  }
}

/** Address of the hub; that of the environment, if there is one. */
export function endpointOf(
  given = isNode ? process.env.HF_ENDPOINT?.trim() : undefined,
  name = "HF_ENDPOINT",
): string {
  if (!given) return defaultEndpoint
  if (/^https?:\/\//i.test(given) && URL.canParse(given)) return given.replace(/\/+$/, "")
  throw new RangeError(`${name} is ${show(given)}, expected an http or https URL`)
}

const expanded = (path: string | undefined, user: string): string | undefined =>
  path?.replace(/^~(?=$|[/\\])/, user)

function tokenIn(file: string): string | undefined {
  const { existsSync, readFileSync } = fromNode("node:fs")
  if (!existsSync(file)) return undefined
  return readFileSync(file, "utf8").trim() || undefined
}
