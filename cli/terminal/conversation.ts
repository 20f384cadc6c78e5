// A conversation with a model: its messages, and the keys and values of what was said, so that each turn
// reads what is new alone.
import { readFileSync } from "node:fs"
import {
  type ChatMessage,
  type ChatOptions,
  checkMessages,
  faultText,
  type LanguageModel,
  type PromptCache,
} from "../../model/index.ts"
import { writeWhole } from "./files.ts"

export class Conversation {
  readonly #model: LanguageModel
  readonly #options: ChatOptions
  readonly #cache: PromptCache
  readonly #most: number
  #messages: ChatMessage[] = []
  #generated = 0

  /** `most`: tokens of an answer. */
  constructor(model: LanguageModel, cache: PromptCache, options: ChatOptions, most: number) {
    this.#model = model
    this.#cache = cache
    this.#options = options
    this.#most = most
  }

  get messages(): readonly ChatMessage[] {
    return this.#messages
  }

  /** How many answers there were, and how many positions the model has read for them. */
  get summary(): string {
    const answers = this.#messages.filter(({ role }) => role === "assistant").length
    const { readTokens } = this.#cache
    return `${answers} answers, ${this.#generated} tokens, ${readTokens} positions read`
  }

  /** What the system says, first of all; undefined for what it says now. */
  set system(content: string) {
    const rest = this.#messages.filter(({ role }) => role !== "system")
    this.#messages = content === "" ? rest : [{ role: "system", content }, ...rest]
  }

  get system(): string {
    return this.#messages.find(({ role }) => role === "system")?.content ?? ""
  }

  /** Forgets what was said, but for the system's message. */
  reset(): void {
    this.#messages = this.#messages.filter(({ role }) => role === "system")
  }

  /** The answer, piece by piece, which stays as far as it came when the signal ends it. Where there is
   *  none for another reason, the conversation is as before. */
  async *answer(content: string, signal: AbortSignal): AsyncGenerator<string> {
    const before = this.#messages
    const messages = [...before, { role: "user", content }]
    let [text, count] = ["", 0]
    try {
      const how = { ...this.#options, promptCache: this.#cache, signal }
      for await (const token of this.#model.chat(messages, how)) {
        text += token.text
        this.#generated++
        yield token.text
        if (++count >= this.#most) break
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
    this.#messages = [...messages, { role: "assistant", content: text }]
  }

  /** Writes the messages as JSON. */
  async save(path: string): Promise<void> {
    const json = JSON.stringify({ messages: this.#messages }, null, 2)
    await writeWhole(path, `${json}\n`).catch((error: unknown) => {
      throw new Error(`cannot write ${path}: ${faultText(error)}`)
    })
  }

  /** Reads what `save` wrote. Throws what is wrong with the file. */
  load(path: string): void {
    let text: string
    try {
      text = readFileSync(path, "utf8")
    } catch (error) {
      throw new Error(`cannot read ${path}: ${faultText(error)}`)
    }
    const messages = messagesIn(text, path)
    this.#messages = [...messages]
  }
}

function messagesIn(text: string, path: string): readonly ChatMessage[] {
  try {
    const { messages } = Object(JSON.parse(text)) as { messages?: unknown }
    if (!(Array.isArray(messages) && messages.length === 0)) checkMessages(messages)
    return messages as readonly ChatMessage[]
  } catch (error) {
    const reason = (error as Error).message.replace(/^chat: /, "")
    throw new Error(`${path} is no conversation that /save wrote: ${reason}`)
  }
}
