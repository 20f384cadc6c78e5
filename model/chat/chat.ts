// The answer to a conversation: its messages as one text by the model's template, the text as tokens, what
// follows them by generate/. With a prompt cache, the tokens of an answer stay those that were chosen.
import { checkObject } from "../../engine/index.ts"
import { type CompleteOptions, complete } from "../generate/complete.ts"
import type { Completion } from "../generate/completion.ts"
import type { Token } from "../generate/generate.ts"
import { endsOf, type GenerateOptions } from "../generate/options.ts"
import type { PromptCache } from "../generate/prompt_cache.ts"
import { streamRequest } from "../generate/request.ts"
import type { Source } from "../generate/source.ts"
import { stream } from "../generate/stream.ts"
import type { Tokenizer } from "../tokenizer/index.ts"
import {
  type ChatMessage,
  checkMessages,
  type Rendered,
  rendered,
  type TemplateOptions,
} from "./template.ts"
import type { ChatTemplates } from "./templates.ts"

/** How a conversation goes on. */
export type ChatOptions = GenerateOptions & TemplateOptions
/** The same for a whole answer. */
export type ChatCompletionOptions = Omit<CompleteOptions, "adapter"> &
  Pick<GenerateOptions, "adapter"> &
  TemplateOptions

/** What of a model answers. */
export interface Speaker {
  readonly source: Source
  readonly tokenizer: Tokenizer | undefined
  templates(): Promise<ChatTemplates>
}

/** A conversation up to the end of an answer, as text and as the tokens that it was. */
interface Said {
  readonly text: string
  readonly ids: readonly number[]
}

/** What was said last over each prompt cache. */
const said = new WeakMap<PromptCache, Said>()

/** The answer as it comes; see LanguageModel.chat. */
export async function* chat(
  speaker: Speaker,
  messages: readonly ChatMessage[],
  options: ChatOptions,
): AsyncGenerator<Token, void, undefined> {
  const { source, tokenizer } = speaker
  checkObject("chat: options", options)
  const { promptCache } = options
  let asked: Asked | undefined
  const tokens = stream(source, async () => {
    asked = await ask(speaker, messages, options)
    const { seed: _, adapter: __, ...rest } = asked.options
    const { seed } = options
    return streamRequest(source, tokenizer, asked.prompt, {
      ...rest,
      ...(seed === undefined ? {} : { seed }),
    })
  })
  const [ids, texts]: [number[], string[]] = [[], []]
  try {
    for await (const token of tokens) {
      ids.push(token.id)
      texts.push(token.text)
      yield token
    }
  } finally {
    if (promptCache && asked) remember(promptCache, asked, ids, texts.join(""), options)
  }
}

/** What a conversation is asked for, as `requestOf` takes it. Throws as `chat` does. */
export async function chatRequest(
  speaker: Speaker,
  messages: readonly ChatMessage[],
  options: GenerateOptions & TemplateOptions,
): Promise<{ readonly prompt: readonly number[]; readonly options: GenerateOptions }> {
  const { prompt, options: asked } = await ask(speaker, messages, options)
  return { prompt, options: asked as GenerateOptions }
}

/** The whole answer; see LanguageModel.completeChat. */
export async function completeChat(
  speaker: Speaker,
  messages: readonly ChatMessage[],
  options: ChatCompletionOptions,
): Promise<Completion> {
  checkObject("chat: options", options)
  const { source, tokenizer } = speaker
  const asked = await ask(speaker, messages, options)
  const all = await complete([source], tokenizer, [asked.prompt], asked.options)
  const [answer] = all as [Completion]
  const { ids, text } = answer
  if (options.promptCache) remember(options.promptCache, asked, ids, text, options)
  return answer
}

interface Asked {
  readonly prompt: readonly number[]
  readonly options: CompleteOptions
  readonly text: string
}

async function ask(
  { source, tokenizer, templates }: Speaker,
  messages: readonly ChatMessage[],
  options: ChatCompletionOptions,
): Promise<Asked> {
  checkMessages(messages)
  if (!tokenizer) {
    throw new TypeError(
      'chat: this model has no tokenizer. Load it with { tokenizer: "path/to/tokenizer.model" }',
    )
  }
  const { chatTemplate, addGenerationPrompt, templateValues, ...plain } = options
  const found = await templates()
  const made = await rendered(messages, found, options)
  const end = tokenizer.encode(found.eosToken, { special: true })
  const { stop = [] } = plain
  const ends = [...endsOf(source.decoder.config, tokenizer), ...(end.length === 1 ? end : [])]
  const isByTexts = Array.isArray(stop) && stop.every((each) => typeof each === "string")
  return {
    text: made.text,
    prompt: idsOf(made, tokenizer, found, options.promptCache),
    options: { ...plain, stop: isByTexts ? [...stop, ...new Set(ends)] : stop },
  }
}

/** The tokens of a text, in which those of control tokens are these; what was said over the cache keeps
 *  the tokens that it had, where the text goes on with a control token. */
function idsOf(
  { text, needsBos }: Rendered,
  tokenizer: Tokenizer,
  { eosToken }: ChatTemplates,
  cache: PromptCache | undefined,
): readonly number[] {
  const before = cache && said.get(cache)
  if (before && text.startsWith(before.text)) {
    const rest = text.slice(before.text.length)
    if (rest.startsWith(eosToken)) {
      const ids = tokenizer.encode(rest, { special: true })
      const [end] = ids
      // An answer may have ended with it.
      return [...before.ids, ...(before.ids.at(-1) === end ? ids.slice(1) : ids)]
    }
  }
  return tokenizer.encode(text, { special: true, bos: needsBos && tokenizer.bosId >= 0 })
}

/** Where an answer ends before a text, its last tokens are not known to be in it. */
function remember(
  cache: PromptCache,
  { text, prompt, options: { stop = [] } }: Asked,
  ids: readonly number[],
  answer: string,
  { echo }: CompleteOptions,
): void {
  if (echo || stop.some((each) => typeof each === "string")) said.delete(cache)
  else said.set(cache, { text: text + answer, ids: [...prompt, ...ids] })
}
