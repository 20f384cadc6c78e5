// The chat templates that a GGUF file carries: one, and others by their names, of which there is a list.
import {
  type CarriedTemplates,
  type ChatTemplates,
  noTemplates,
  usualName,
} from "../../chat/templates.ts"
import { show } from "../../json.ts"
import type { Tokenizer } from "../../tokenizer/index.ts"
import type { Typed } from "./encode.ts"
import type { Metadata } from "./header.ts"

const key = "tokenizer.chat_template"
const endKey = "tokenizer.ggml.eot_token_id"
const namesKey = "tokenizer.chat_templates"

/** The templates of a file, of which there may be none, and the texts of the tokens that begin and end a
 *  text. Throws TypeError for what is no text. */
export function templatesIn(metadata: Metadata, source: string): CarriedTemplates {
  const named = new Map<string, string>()
  for (const [name, text] of metadata) {
    if (name !== key && !name.startsWith(`${key}.`)) continue
    if (typeof text !== "string") {
      throw new TypeError(`${source}: ${name} is ${show(text)}, expected a text`)
    }
    named.set(name === key ? usualName : name.slice(key.length + 1), text)
  }
  const [bosToken, eos, endOfTurn] = ["bos", "eos", "eot"].map((name) => tokenNamed(metadata, name))
  const eosToken = endOfTurn ?? eos
  return { source, named, ...(bosToken && { bosToken }), ...(eosToken && { eosToken }) }
}

/** The text of a token that has a use; undefined where the file says nothing of it. */
function tokenNamed(metadata: Metadata, name: string): string | undefined {
  const id = metadata.get(`tokenizer.ggml.${name}_token_id`)
  const tokens = metadata.get("tokenizer.ggml.tokens")
  const text = Array.isArray(tokens) && typeof id === "number" ? tokens[id] : undefined
  return typeof text === "string" ? text : undefined
}

/** The metadata of templates. Throws RangeError for a name that no key can have, and for turns that end with
 *  what is no token. */
export function metadataOfTemplates(
  { named, source, eosToken }: ChatTemplates,
  tokenizer: Tokenizer,
): Map<string, Typed> {
  const others = [...named.keys()].filter((name) => name !== usualName)
  const wrong = others.find((name) => !/^[A-Za-z0-9_]+$/.test(name))
  if (wrong !== undefined) {
    throw new RangeError(
      `${source}: GGUF names chat templates by letters, digits and _, this one is ${show(wrong)}`,
    )
  }
  const [end, ...more] = tokenizer.encode(eosToken, { special: true })
  const isToken = end !== undefined && more.length === 0
  // Llama's is what templates have whose folder says nothing.
  const isSaid = eosToken !== noTemplates.eosToken
  if (!isToken && isSaid && [...named.values()].some((text) => text.includes("eos_token"))) {
    throw new RangeError(
      `${source}: the templates end turns with ${show(eosToken)}, which is no token of this tokenizer`,
    )
  }
  return new Map<string, Typed>([
    ...(isToken && end !== tokenizer.eosId ? [[endKey, { u32: end }] as const] : []),
    ...(others.length > 0 ? [[namesKey, { texts: others }] as const] : []),
    ...[...named].map(
      ([name, text]) => [name === usualName ? key : `${key}.${name}`, { text }] as const,
    ),
  ])
}
