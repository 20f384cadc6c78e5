// What becomes of one prompt in a call that waits for all of it.
import type { Token } from "./generate.ts"
import type { Logprobs } from "./host.ts"
import type { Checked } from "./options.ts"
import type { KeptSequence } from "./prompt_cache.ts"
import { StopTexts } from "./stop.ts"

/** Why a completion ends: at an end that it was asked to stop at, or at most tokens. */
export type FinishReason = "stop" | "length"

/** How many tokens were read and chosen; of a stop text, those that were held back too. */
export interface TokenUsage {
  readonly promptTokens: number
  readonly completionTokens: number
  readonly totalTokens: number
  /** With a prompt cache: those of the prompt that were in it before, and were not read again. */
  readonly cachedTokens?: number
}

/** A whole continuation. */
export interface Completion {
  /** The text; empty without a tokenizer. With `echo`, after the prompt's. */
  readonly text: string
  /** The tokens before a stop text, an end that is a token itself among them. With `echo`, after the
   *  prompt's. */
  readonly ids: readonly number[]
  readonly finishReason: FinishReason
  readonly usage: TokenUsage
  /** One for each id, where they are asked for; null for the first of a prompt. */
  readonly logprobs?: readonly (Logprobs | null)[]
  /** Of beams: the sum of their tokens' log p over a power of their number. */
  readonly score?: number
}

/** A prompt with how it goes on. */
export interface Request {
  readonly prompt: readonly number[]
  readonly options: Checked
  readonly textOf: (id: number, isLast: boolean) => string
  readonly promptCache?: KeptSequence | undefined
  /** Which of a decoder's adapters it goes through, where that has several; default the first. */
  readonly route?: number
}

/** What is put before a completion. */
export interface Echo {
  readonly text: string
  readonly ids: readonly number[]
  readonly logprobs: readonly (Logprobs | null)[] | undefined
}

/** A completion that has ended, and its score among beams. */
export interface Ended {
  readonly growing: Growing
  readonly score?: number
}

/** A completion that is growing. */
export class Growing {
  readonly request: Request
  /** All that were chosen. */
  readonly ids: number[] = []
  readonly #stop: StopTexts
  readonly #kept: Token[] = []
  #isDone: boolean

  constructor(request: Request) {
    this.request = request
    this.#stop = new StopTexts(request.options.stopTexts)
    this.#isDone = request.options.maxNewTokens === 0
  }

  get isDone(): boolean {
    return this.#isDone
  }

  /** All tokens, those of the prompt first. */
  get all(): number[] {
    return [...this.request.prompt, ...this.ids]
  }

  /** One more token was chosen; its text is found here if it does not come with it. */
  push(token: Omit<Token, "text"> & Partial<Token>): void {
    const { options, textOf } = this.request
    this.ids.push(token.id)
    const isLast = this.ids.length === options.maxNewTokens || options.stop.includes(token.id)
    const text = token.text ?? textOf(token.id, isLast)
    this.#kept.push(...this.#stop.push({ ...token, text }))
    if (isLast && !this.#stop.isOver) this.#kept.push(...this.#stop.end())
    this.#isDone = isLast || this.#stop.isOver
  }

  completion(echo: Echo = { text: "", ids: [], logprobs: undefined }, score?: number): Completion {
    const { prompt, options, promptCache } = this.request
    const last = this.ids.at(-1)
    const isEnd = last !== undefined && options.stop.includes(last)
    const [promptTokens, completionTokens] = [prompt.length, this.ids.length]
    const usage = {
      ...{ promptTokens, completionTokens, totalTokens: promptTokens + completionTokens },
      ...(promptCache ? { cachedTokens: promptCache.reusedTokens } : {}),
    }
    const logprobs = [
      ...(echo.logprobs ?? []),
      ...this.#kept.map((token) => token.logprobs ?? null),
    ]
    return {
      text: echo.text + this.#kept.map(({ text }) => text).join(""),
      ids: [...echo.ids, ...this.#kept.map(({ id }) => id)],
      finishReason: this.#stop.isOver || isEnd ? "stop" : "length",
      usage,
      ...(options.host?.logprobs === undefined ? {} : { logprobs }),
      ...(score === undefined ? {} : { score }),
    }
  }
}
