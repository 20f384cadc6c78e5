// One way to ask a server: what may pass is asked again after a while, and a silent server is waited for
// no longer than the time limit. Bodies are read by body.ts. What the answers mean is left
// to remote.ts.
import { checkNumber } from "../json.ts"

/** How long to wait for files at a URL. */
export interface Waiting {
  /** Ends the wait by throwing the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Most milliseconds in which a server may send nothing, up to Infinity; default 30,000. */
  readonly timeoutMs?: number | undefined
  /** Token of the hub, in place of the environment's (HF_TOKEN); no other host is told. */
  readonly token?: string | undefined
  /** Address of the hub, in place of the environment's (HF_ENDPOINT). */
  readonly endpoint?: string | undefined
  /** Called as files of the hub come into the cache: name, bytes so far and in all. */
  readonly onDownload?: ((file: string, bytes: number, total: number) => void) | undefined
}

/** How to ask: with GET, following redirects, unless said. */
interface Asking extends Waiting {
  readonly method?: "GET" | "HEAD"
  readonly redirect?: "follow" | "manual"
}

/** What reading an answer came to: a result, or a failure that may pass. */
export type Outcome<T> =
  | { readonly result: T }
  | { readonly failure: Error; readonly waitMs?: number | undefined }

/** Tells that something came, so that the time limit begins anew; and whether it is over. */
export interface Patience {
  readonly signal: AbortSignal
  restart(): void
}

type ReadAnswer<T> = (response: Response, patience: Patience) => Promise<Outcome<T>>

const defaultTimeoutMs = 30_000
/** How often a request is made in all, and the pause after the first; each next one is twice that. */
const mostAttempts = 4
const firstPauseMs = 250

/** Throws TypeError or RangeError for what is no signal, time, token or function. */
export function checkWaiting({ signal, timeoutMs, token, endpoint, onDownload }: Waiting): void {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("load: signal must be an AbortSignal")
  }
  if (token !== undefined && typeof token !== "string") {
    throw new TypeError(`load: token must be a text, got ${typeof token}`)
  }
  if (endpoint !== undefined && typeof endpoint !== "string") {
    throw new TypeError(`load: endpoint must be a URL, got ${typeof endpoint}`)
  }
  if (onDownload !== undefined && typeof onDownload !== "function") {
    throw new TypeError(`load: onDownload must be a function, got ${typeof onDownload}`)
  }
  if (timeoutMs !== undefined) {
    checkNumber("load: timeoutMs", timeoutMs, 1, Number.POSITIVE_INFINITY, false)
  }
}

/**
 * Asks for a URL until `read` has a result: up to four times in a row where there is no answer, the
 * status is 408, 425, 429 or 5xx, or `read` says so. Throws Error that names the URL and the status,
 * the reason of the signal, or whatever `read` throws.
 */
export async function ask<T>(
  url: string,
  headers: Readonly<Record<string, string>>,
  { signal, timeoutMs = defaultTimeoutMs, method = "GET", redirect = "follow" }: Asking,
  read: ReadAnswer<T>,
): Promise<T> {
  // A browser may put what it keeps of a file together with more ranges: not for who wants it whole.
  const cache = "range" in headers ? "default" : "no-store"
  for (let attempt = 1; ; attempt++) {
    const request = { method, redirect, headers, cache } as const
    const outcome = await once(url, request, patienceOf(url, signal, timeoutMs), read)
    if ("result" in outcome) return outcome.result
    const { failure, waitMs = firstPauseMs * 2 ** (attempt - 1) } = outcome
    if (attempt === mostAttempts) throw failure
    if (waitMs > timeoutMs) {
      const asked = `asks to wait ${waitMs / 1000} s, longer than the limit of ${timeoutMs / 1000} s`
      throw new Error(`${failure.message}. It ${asked}: wait, or raise timeoutMs`)
    }
    await pause(waitMs, signal)
  }
}

async function once<T>(
  url: string,
  request: RequestInit,
  patience: ReturnType<typeof patienceOf>,
  read: ReadAnswer<T>,
): Promise<Outcome<T>> {
  try {
    let response: Response
    try {
      response = await fetch(url, { ...request, signal: patience.signal })
    } catch (error) {
      patience.signal.throwIfAborted()
      return { failure: noAnswer(url, error) }
    }
    patience.restart()
    if (!mayPass(response.status)) return await read(response, patience)
    await leave(response)
    return { failure: refused(url, response), waitMs: retryAfterMs(response) }
  } finally {
    patience.end()
  }
}

/** Lets an answer go whose body nobody reads. */
export async function leave({ body }: Response): Promise<void> {
  await body?.cancel().catch(() => undefined)
}

// ---- Failures -----------------------------------------------------------------------------------

const mayPass = (status: number): boolean => [408, 425, 429].includes(status) || status >= 500

/** Milliseconds of Retry-After, given as seconds or as a date, else of RateLimit, as the hub has it. */
function retryAfterMs({ headers }: Response): number | undefined {
  const [, limit] = /;\s*r=0;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "") ?? []
  const given = headers.get("retry-after")?.trim() ?? limit
  if (!given) return undefined
  const ms = /^\d+$/.test(given) ? 1000 * Number(given) : Date.parse(given) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}

/** Servers that list nothing answer so for what they lack, too. */
export const mayBeLack = (status: number): boolean => status === 401 || status === 403

/** Whether an error says that the server answered with such a status. */
export const isRefusal = (error: unknown): boolean =>
  mayBeLack((error as { status?: number } | undefined)?.status ?? 0)

export function refused(url: string, { status, statusText }: Response) {
  const name = statusText === "" ? "" : ` (${statusText})`
  const said = `the server answers with status ${status}${name}`
  const [reason, advice] =
    status === 404 || status === 410
      ? [`no such file, ${said}`, ""]
      : [said, mayBeLack(status) ? ", and that it is there and may be read" : ""]
  return Object.assign(new Error(`Cannot open ${url}: ${reason}. Check the address${advice}`), {
    status,
  })
}

/** A page learns no more than that there was no answer it may read. */
function noAnswer(url: string, cause: unknown): Error {
  const { message, cause: inner } = cause as Error & { readonly cause?: unknown }
  const reason = inner instanceof Error && inner.message !== "" ? inner.message : message
  const elsewhere = isElsewhere(url) ? ", and that it lets pages of other sites read it (CORS)" : ""
  return new Error(
    `Cannot open ${url}: the server does not answer (${reason}). Check the address${elsewhere}`,
    { cause },
  )
}

/** Whether a page asks another site than its own, which has to allow that. */
export const isElsewhere = (url: string): boolean =>
  typeof location === "object" && location.origin !== new URL(url).origin

// ---- Waiting ------------------------------------------------------------------------------------

/** A signal that aborts when the given one does, or when the time is over. */
function patienceOf(url: string, signal: AbortSignal | undefined, timeoutMs: number) {
  const control = new AbortController()
  const giveUp = (): void => control.abort(signal?.reason)
  // After work that kept the thread busy, what came meanwhile is taken first.
  const late = (): void => {
    timer = setTimeout(stopWaiting, lateMs)
  }
  const stopWaiting = (): void => {
    const limit = `nothing for ${timeoutMs / 1000} s`
    const advice = "Try again, or wait longer with timeoutMs"
    control.abort(new Error(`Cannot read ${url}: the server sends ${limit}. ${advice}`))
  }
  let timer: ReturnType<typeof setTimeout> | undefined
  const restart = (): void => {
    clearTimeout(timer)
    if (timeoutMs <= longestTimer) timer = setTimeout(late, timeoutMs)
  }
  signal?.throwIfAborted()
  signal?.addEventListener("abort", giveUp)
  restart()
  const end = (): void => {
    clearTimeout(timer)
    signal?.removeEventListener("abort", giveUp)
  }
  return { signal: control.signal, restart, end }
}

/** Time for what has come to be read, once the limit is over. */
const lateMs = 100

/** A timer's delay has 31 bits. */
const longestTimer = 2 ** 31 - 1

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop)
      resolve()
    }, ms)
    signal?.addEventListener("abort", stop, { once: true })
  })
}
