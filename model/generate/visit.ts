// A request from when it came until it leaves: its tokens so far, and those on their way to who asked.
import { Arrivals } from "./arrivals.ts"
import type { Request } from "./completion.ts"
import type { Token } from "./generate.ts"
import { type Chosen, chosenFrom, stepOf } from "./host.ts"
import { notFinite } from "./session.ts"

export class Visit {
  readonly request: Request
  readonly tokens: Arrivals<Token>
  /** All tokens, those of the prompt first. */
  readonly all: number[]
  /** In the batch, once it has one. */
  place = -1
  /** Which of several adapters it goes through. */
  get route(): number {
    return this.request.route ?? 0
  }

  /** Whether its next token comes with the next step. */
  isDecoding = false
  /** When a piece of its prompt was read last, in turns. */
  readAt = 0
  /** Tokens that it had when a device was lost. */
  lostAt = -1

  constructor(request: Request, onLeave: () => void) {
    const { signal, maxNewTokens } = request.options
    const abort = (): void => tokens.fail(signal?.reason)
    const tokens = new Arrivals<Token>(onLeave, () => signal?.removeEventListener("abort", abort))
    this.request = request
    this.tokens = tokens
    this.all = [...request.prompt]
    if (signal?.aborted) abort()
    else if (maxNewTokens === 0) tokens.end()
    else signal?.addEventListener("abort", abort)
  }

  /** One more token, which may be the last; none follows from below 0. */
  push({ id, ...rest }: Chosen): void {
    const { all, tokens } = this
    const { prompt, options, textOf } = this.request
    if (id < 0) {
      tokens.fail(notFinite())
      return
    }
    all.push(id)
    const isLast = all.length - prompt.length === options.maxNewTokens || options.stop.includes(id)
    tokens.push({ id, ...rest, text: textOf(id, isLast) })
    if (isLast) tokens.end()
  }

  /** The token that its options choose from a row of logits (V); undefined where there is none. */
  choose(row: Float32Array): number | undefined {
    const { prompt, options } = this.request
    const step = stepOf(this.all, prompt.length, options)
    try {
      const host = options.host as NonNullable<typeof options.host>
      const chosen = chosenFrom(row, step, options, host)
      this.push(chosen)
      return chosen.id
    } catch (error) {
      this.tokens.fail(error)
      return undefined
    }
  }
}
