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

/** Throws ApiError where a browser says that a page of another origin asks, which may not: such a page could not
 *  read the answer, and would have it computed all the same. */
export function checkOrigin({ headers }: Request, allowed: readonly string[]): void {
  const site = headers.get("sec-fetch-site") ?? "none"
  if (site === "none" || site === "same-origin") return
  const origin = headers.get("origin") ?? "null"
  if (isAllowed(origin, allowed)) return
  throw new ApiError(403, `pages of ${origin} may not ask here`, { code: "origin_not_allowed" })
}
