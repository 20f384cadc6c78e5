// The chat templates that a GGUF file carries: one, and others by their names.
import { type CarriedTemplates, usualName } from "../../chat/templates.ts"
import { show } from "../../json.ts"
import type { Metadata } from "./header.ts"

const key = "tokenizer.chat_template"

/** The templates of a file; undefined where it has none. Throws TypeError for what is no text. */
export function templatesIn(metadata: Metadata, source: string): CarriedTemplates | undefined {
  const named = new Map<string, string>()
  for (const [name, text] of metadata) {
    if (name !== key && !name.startsWith(`${key}.`)) continue
    if (typeof text !== "string") {
      throw new TypeError(`${source}: ${name} is ${show(text)}, expected a text`)
    }
    named.set(name === key ? usualName : name.slice(key.length + 1), text)
  }
  return named.size > 0 ? { source, named } : undefined
}
