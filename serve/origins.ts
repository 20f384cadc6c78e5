// Pages of other origins: which may ask, and what their browsers are told.
import { ApiError } from "./errors.ts"

const isAllowed = (origin: string, allowed: readonly string[]): boolean =>
  allowed.includes("*") || allowed.includes(origin)

/** Headers by which a browser lets a page of another origin read the response, and send what it is about to. */
export function corsHeaders(
  { headers }: Request,
  allowed: readonly string[],
): Readonly<Record<string, string>> {
  if (allowed.length === 0) return {}
  const vary = { vary: "origin, access-control-request-headers" }
  const origin = headers.get("origin")
  if (origin === null || !isAllowed(origin, allowed)) return vary
  return {
    ...vary,
    "access-control-allow-origin": allowed.includes("*") ? "*" : origin,
    "access-control-allow-methods": "GET, POST, OPTIONS",
    // Clients send some of their own beside these two: openai's says what it runs on.
    "access-control-allow-headers":
      headers.get("access-control-request-headers") ?? "authorization, content-type",
    "access-control-expose-headers": "retry-after, x-should-retry",
    "access-control-max-age": "86400",
  }
}

/** Names that lead to no other machine than they say: no name server can be told to change them. */
const isCertain = (hostname: string): boolean =>
  /^(?:\[.*\]|\d+\.\d+\.\d+\.\d+|(?:.*\.)?localhost)$/.test(hostname)

/** Whether a page is the service's own, by what a browser says that keeps `sec-fetch-site` to itself, as it does
 *  where no certificate vouches for a name. A page of any name may then have had it lead here. */
function isOwnPage(origin: string, request: Request): boolean {
  if (!URL.canParse(origin)) return false
  const { host, hostname } = new URL(origin)
  return host === (request.headers.get("host") ?? new URL(request.url).host) && isCertain(hostname)
}

/** Throws ApiError where a browser says that a page of another origin asks, which may not: such a page could not
 *  read the answer, and would have it computed all the same; or, under a name that was made to lead here, could.
 *  `hasKeys`: whoever asks had to have one. */
export function checkOrigin(request: Request, allowed: readonly string[], hasKeys: boolean): void {
  const site = request.headers.get("sec-fetch-site")
  const origin = request.headers.get("origin")
  if (site === "none" || site === "same-origin") return
  if (site === null && (origin === null || hasKeys || isOwnPage(origin, request))) return
  if (isAllowed(origin ?? "null", allowed)) return
  throw new ApiError(403, `pages of ${origin} may not ask here`, { code: "origin_not_allowed" })
}
