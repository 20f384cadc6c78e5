// What a request of the protocol is handled with.
import type { Serving } from "../model/index.ts"

/** A request whose model is known. */
export interface Call {
  readonly serving: Serving
  /** The model's name, as it was asked for. */
  readonly model: string
  readonly body: unknown
  /** Ends it: the client has left, or its time is over. */
  readonly signal: AbortSignal
  /** Ends it from within: nobody waits for the rest. */
  leave(): void
  /** Most new tokens that a request may ask for. */
  readonly maxNewTokens: number
}

export const secondsNow = (): number => Math.floor(Date.now() / 1000)
