// Messages as one text: by a template of Jinja, or, for a model that has none, as OpenELM's instruct models
// were trained. The interpreter of Jinja is loaded with the first template.
import { isObject, show } from "../json.ts"
import { printable } from "../printable.ts"
import { type ChatTemplates, usualName } from "./templates.ts"

/** One turn of a conversation. A template may know of more fields than these. */
export interface ChatMessage {
  /** "system", "user", "assistant", or what else a template knows. */
  readonly role: string
  readonly content: string
}

/** How a template is chosen, and what it is given beside the messages. */
export interface TemplateOptions {
  /** A template of Jinja, or the name of one of the model's; default its "default". */
  readonly chatTemplate?: string
  /** Whether the beginning of an answer follows the messages; default true. */
  readonly addGenerationPrompt?: boolean
  /** Further names that the template knows, such as `enable_thinking`. */
  readonly templateValues?: Readonly<Record<string, unknown>>
}

export interface Rendered {
  readonly text: string
  /** Whether the tokenizer's BOS goes before it: templates of Jinja write their own. */
  readonly needsBos: boolean
}

/** Throws TypeError for what are no messages, RangeError for none. */
export function checkMessages(messages: unknown): asserts messages is readonly ChatMessage[] {
  if (!Array.isArray(messages)) {
    throw new TypeError(`chat: the messages are ${show(messages)}, expected a list`)
  }
  if (messages.length === 0) throw new RangeError("chat: there are no messages. Give one or more")
  for (const [i, message] of messages.entries()) {
    if (!isObject(message)) {
      throw new TypeError(`chat: messages[${i}] is ${show(message)}, expected { role, content }`)
    }
    for (const field of ["role", "content"]) {
      if (typeof message[field] === "string") continue
      throw new TypeError(
        `chat: messages[${i}].${field} is ${show(message[field])}, expected a text`,
      )
    }
  }
}

/** What the messages are as a text. Throws Error with what the template says is wrong with them,
 *  SyntaxError for a template that is none. */
export async function rendered(
  messages: readonly ChatMessage[],
  templates: ChatTemplates,
  options: TemplateOptions,
): Promise<Rendered> {
  const { addGenerationPrompt = true, templateValues = {} } = options
  const chosen = chosenFrom(templates, options.chatTemplate)
  if (!chosen) {
    return {
      text: instructed(messages, { addGenerationPrompt, eosToken: templates.eosToken }),
      needsBos: true,
    }
  }
  const values = {
    messages: messages.map((message) => ({ ...message })),
    add_generation_prompt: addGenerationPrompt,
    bos_token: templates.bosToken,
    eos_token: templates.eosToken,
    ...templateValues,
  }
  const text = await byTemplate(chosen.template, chosen.name, values)
  if (text !== "") return { text, needsBos: false }
  throw new Error(`${chosen.name} makes no text of these messages. Give another one`)
}

interface Chosen {
  readonly template: string
  readonly name: string
}

/** The template that is asked for; undefined where the model has none. */
function chosenFrom({ named, source }: ChatTemplates, asked: unknown): Chosen | undefined {
  if (asked !== undefined && typeof asked !== "string") {
    throw new TypeError(`chat: chatTemplate is ${show(asked)}, expected a text`)
  }
  const template = named.get(asked ?? usualName)
  if (template !== undefined) return { template, name: `the chat template of ${source}` }
  if (asked !== undefined && /\{[{%]/.test(asked)) {
    return { template: asked, name: "the chat template that was given" }
  }
  if (asked === undefined && named.size === 0) return undefined
  const names = [...named.keys()].map((name) => show(name)).join(", ") || "none"
  throw new RangeError(
    `chat: there is no template ${show(asked ?? usualName)}. The model has: ${names}. Give one of ` +
      "them as chatTemplate, or the text of one",
  )
}

interface Instructing {
  /** Of a part of a conversation no turn of the system is made up. */
  readonly isPart?: boolean
  readonly addGenerationPrompt?: boolean
  readonly eosToken?: string
}

/** Each turn under the name of its role, with the end of text after it; first an empty one of the system,
 *  where there is none.  CoreNet's recipe openelm-instruct.yaml, as alignment-handbook applies it */
export function instructed(
  messages: readonly ChatMessage[],
  { isPart = false, addGenerationPrompt = false, eosToken = "</s>" }: Instructing = {},
): string {
  const isLed = isPart || messages[0]?.role === "system"
  const all = isLed ? messages : [{ role: "system", content: "" }, ...messages]
  const turns = all.map(({ role, content }) => `<|${role}|>\n${content}${eosToken}\n`)
  return turns.join("") + (addGenerationPrompt ? "<|assistant|>\n" : "")
}

async function byTemplate(
  template: string,
  name: string,
  values: Readonly<Record<string, unknown>>,
): Promise<string> {
  const { Template } = await import("@huggingface/jinja")
  const parse = () => {
    try {
      // The line break goes with the statement, so that the text begins as it did.
      return new Template(`{% set range = bounded_range %}\n${template}`)
    } catch (error) {
      throw new SyntaxError(`${name} is not Jinja: ${saidBy(error, "it ends too early")}`, {
        cause: error,
      })
    }
  }
  const parsed = parse()
  try {
    return parsed.render({ bounded_range: boundedRange(), ...values })
  } catch (error) {
    const reason = saidBy(error, "it uses what is not there")
    throw new Error(`${name} refuses these messages: ${reason}`, { cause: error })
  }
}

/** Numbers that a template's ranges may have together: conversations need a few, and memory has an end. */
const mostNumbers = 100_000

/** Jinja's range for one rendering. Throws RangeError for more numbers than that, and for what is none. */
function boundedRange() {
  let total = 0
  return (first: unknown, end: unknown, step: unknown = 1): number[] => {
    const [start, stop] = end === undefined || end === null ? [0, first] : [first, end]
    const count = Math.max(0, Math.ceil((Number(stop) - Number(start)) / Number(step)))
    total += count
    if (Number.isSafeInteger(count) && total <= mostNumbers) {
      return Array.from({ length: count }, (_, i) => Number(start) + i * Number(step))
    }
    throw new RangeError(`its ranges have more than ${mostNumbers} numbers, or are of what is none`)
  }
}

/** What the interpreter says, of a file that may hold anything; a TypeError is one from inside of it. */
const saidBy = (error: unknown, otherwise: string): string =>
  error instanceof TypeError ? otherwise : printable((error as Error).message)
