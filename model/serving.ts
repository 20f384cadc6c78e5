// A model that many ask at a time: what they ask for, checked, and the tokens that each gets from the one
// batch that they share.
import type { Adapter } from "./adapters/adapter.ts"
import { chatRequest, type Speaker } from "./chat/chat.ts"
import type { ChatMessage, TemplateOptions } from "./chat/template.ts"
import { Aside } from "./generate/aside.ts"
import type { ContinuousOptions } from "./generate/bounds.ts"
import { type Prompt, promptLogprobsOf } from "./generate/complete.ts"
import type { FinishReason, Request } from "./generate/completion.ts"
import { Continuous } from "./generate/continuous.ts"
import { type EmbedOptions, embeddingsOf } from "./generate/embed.ts"
import type { Token } from "./generate/generate.ts"
import type { Logprobs } from "./generate/host.ts"
import type { GenerateOptions } from "./generate/options.ts"
import { requestOf, reseeded } from "./generate/request.ts"
import { StopTexts } from "./generate/stop.ts"
import { continuation, promptIds } from "./generate/text.ts"

/** How a model is shared. */
export interface ServingOptions extends ContinuousOptions {
  /** What requests go through, each of them in the same batch; null: the weights as they are. Default these alone. */
  readonly adapters?: readonly (Adapter | null)[]
}

/** Positions of texts for vectors that are read between two turns of the batch. */
const besideOthers = 256

/** A part of an answer. */
export interface AnswerPart {
  readonly tokens: readonly Token[]
  /** How many were chosen since the part before, those that are held back among them. */
  readonly chosen: number
  readonly finishReason?: FinishReason
}

export class Serving {
  readonly #speaker: Speaker
  readonly #continuous: Continuous
  readonly #aside: Aside
  readonly #route: number
  /** Of those that were asked for. */
  readonly #pieces = new Map<number, string>()

  private constructor(speaker: Speaker, continuous: Continuous, aside: Aside, route: number) {
    this.#speaker = speaker
    this.#continuous = continuous
    this.#aside = aside
    this.#route = route
  }

  /** One for each of several speakers of a model, in one batch. */
  static of(speakers: readonly Speaker[], options: ContinuousOptions): Serving[] {
    const sources = speakers.map(({ source }) => source)
    const continuous = new Continuous(sources, options)
    const aside = new Aside(options.queue)
    return speakers.map((speaker, route) => new Serving(speaker, continuous, aside, route))
  }

  get counts(): Continuous["counts"] {
    return this.#continuous.countsOf(this.#route)
  }

  /** `count` continuations of a prompt, of seeds one after the other. Throws as `generate` does. */
  ask(prompt: Prompt, options: GenerateOptions, count = 1): Request[] {
    const { tokenizer } = this.#speaker
    return this.#several(promptIds(prompt, tokenizer), options, count)
  }

  /** `count` answers to a conversation. Throws as `chat` does. */
  async askChat(
    messages: readonly ChatMessage[],
    options: GenerateOptions & TemplateOptions,
    count = 1,
  ): Promise<Request[]> {
    const asked = await chatRequest(this.#speaker, messages, options)
    return this.#several(asked.prompt, asked.options, count)
  }

  /** The text of some tokens. */
  decode(ids: readonly number[]): string {
    const { tokenizer } = this.#speaker
    return tokenizer?.decode(ids.filter((id) => id < tokenizer.vocabSize)) ?? ""
  }

  /** The text that each token of a text completes. */
  texts(ids: readonly number[]): string[] {
    const textOf = continuation([], this.#speaker.tokenizer)
    return ids.map((id, i) => textOf(id, i === ids.length - 1))
  }

  /** The text of one token within others. */
  piece(id: number): string {
    const known = this.#pieces.get(id)
    if (known !== undefined) return known
    const { tokenizer } = this.#speaker
    const piece = continuation(tokenizer?.encode("a") ?? [], tokenizer)(id, true)
    this.#pieces.set(id, piece)
    return piece
  }

  /** The bytes that a token adds to a text: part of a character, where that has several tokens. */
  bytesOf(id: number): Uint8Array {
    const { tokenizer } = this.#speaker
    return tokenizer && id < tokenizer.vocabSize ? tokenizer.bytesOf(id) : new Uint8Array()
  }

  /** Throws QueueFullError where so many have no room, RangeError where they never have. */
  checkRoom(count: number): void {
    this.#continuous.checkRoom(count)
  }

  /** What a request gets, as it is known: tokens before its stop texts, and with the last part why it
   *  ends. Whoever leaves it frees its place. Throws QueueFullError where it has no place to wait. */
  async *answer(request: Request): AsyncGenerator<AnswerPart, void, undefined> {
    const { stop, stopTexts } = request.options
    const texts = new StopTexts(stopTexts)
    let last: number | undefined
    for await (const token of this.#continuous.submit(request)) {
      last = token.id
      const tokens = texts.push(token)
      yield { tokens, chosen: 1 }
      if (texts.isOver) break
    }
    const isEnd = texts.isOver || (last !== undefined && stop.includes(last))
    const tokens = texts.isOver ? [] : texts.end()
    yield { tokens, chosen: 0, finishReason: isEnd ? "stop" : "length" }
  }

  /** Of every token of a prompt, how likely it was, and the likeliest `count` in its place. Throws QueueFullError
   *  where it has no place to wait. */
  promptLogprobs(
    ids: readonly number[],
    count: number,
    signal: AbortSignal,
  ): Promise<(Logprobs | null)[]> {
    const { source } = this.#speaker
    return this.#aside.during(() => promptLogprobsOf(source, ids, count, { signal }), signal)
  }

  /** A vector for each text. Throws as `embed` does, QueueFullError where it has no place to wait. */
  async embed(texts: readonly Prompt[], options: EmbedOptions) {
    const { source, tokenizer } = this.#speaker
    const ids = texts.map((text) => promptIds(text, tokenizer, "embed"))
    const { usage, residence } = source
    const work = () => residence.during(() => embeddingsOf(source, ids, options, besideOthers))
    const vectors = await this.#aside.during(() => usage.reading(work), options.signal)
    return { ids, vectors }
  }

  warm(): Promise<void> {
    return this.#continuous.warm()
  }

  /** Ends what is under way with an error, of the others in its batch too. */
  close(): Promise<void> {
    return this.#continuous.close()
  }

  /** The same request with seeds one after the other. */
  #several(prompt: readonly number[], options: GenerateOptions, count: number): Request[] {
    const { source, tokenizer } = this.#speaker
    const request = { ...requestOf(source, tokenizer, prompt, options), route: this.#route }
    return Array.from({ length: count }, (_, j) => reseeded(request, j, tokenizer))
  }
}
