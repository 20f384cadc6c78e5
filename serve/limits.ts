// What ends a request before it is done.
import { ClientGoneError } from "./errors.ts"

/** Of one request, from when it came. */
export interface Limits {
  /** Aborted when its client has gone or its time is over. */
  readonly signal: AbortSignal
  /** Ends it from within: nobody waits for the rest. */
  leave(): void
  /** Nothing of it is left. */
  release(): void
}

/** Longest time that timers of JavaScript know, in seconds. */
export const mostSeconds = Math.floor((2 ** 31 - 1) / 1000)

export function limitsOf(client: AbortSignal, seconds: number): Limits {
  const controller = new AbortController()
  const leave = (): void => controller.abort(new ClientGoneError())
  const late = new DOMException(`more than ${seconds} seconds`, "TimeoutError")
  const timer = setTimeout(() => controller.abort(late), 1000 * seconds)
  client.addEventListener("abort", leave, { once: true })
  if (client.aborted) leave()
  return {
    signal: controller.signal,
    leave,
    release: () => {
      clearTimeout(timer)
      client.removeEventListener("abort", leave)
    },
  }
}
