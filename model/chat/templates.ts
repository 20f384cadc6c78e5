// What a model's folder says of how its messages become a text: templates of Jinja by their names, and the
// texts of the tokens that begin and end one. How they are rendered is left to template.ts.
import type { FileTree } from "../files/tree.ts"
import { readIfThere } from "../files/tree.ts"
import { isObject, parseJson, show } from "../json.ts"

/** The one that is taken where none is named. */
export const usualName = "default"

export interface ChatTemplates {
  /** Where they came from, for messages. */
  readonly source: string
  /** Texts by name; none where the model says nothing of templates. */
  readonly named: ReadonlyMap<string, string>
  readonly bosToken: string
  readonly eosToken: string
}

/** What the format of a checkpoint carries itself: of a GGUF file, its metadata. */
export type CarriedTemplates = Pick<ChatTemplates, "source" | "named"> &
  Partial<Pick<ChatTemplates, "bosToken" | "eosToken">>

/** Llama's, which OpenELM has. */
const llamas = { bosToken: "<s>", eosToken: "</s>" } as const

export const noTemplates: ChatTemplates = { source: "", named: new Map(), ...llamas }

const configFile = "tokenizer_config.json"
export const templateFile = "chat_template.jinja"
/** Files that say how messages become a text. */
export const templateFiles: readonly string[] = [configFile, templateFile]
const mostBytes = 1 << 20

/** The templates of a model: those that it carries, else chat_template.jinja, else the chat_template of
 *  tokenizer_config.json, a text or a list of named ones. Throws TypeError that names what is wrong. */
export async function templatesOf(
  tree: FileTree,
  carried: CarriedTemplates | undefined,
): Promise<ChatTemplates> {
  const source = tree.nameOf(configFile)
  const bytes = await readIfThere(tree, configFile, mostBytes)
  const config = bytes ? parseJson(bytes, source) : {}
  if (!isObject(config)) throw new TypeError(`${source} is ${show(config)}, expected a JSON object`)
  const { bos_token, eos_token, chat_template } = config
  const { bosToken = llamas.bosToken, eosToken = llamas.eosToken } = carried ?? {}
  const tokens = {
    bosToken: tokenText(bos_token, `${source}: bos_token`) ?? bosToken,
    eosToken: tokenText(eos_token, `${source}: eos_token`) ?? eosToken,
  }
  if (carried && carried.named.size > 0) return { ...carried, ...tokens }
  const text = await readIfThere(tree, templateFile, mostBytes)
  if (text) {
    const named = new Map([[usualName, new TextDecoder().decode(text)]])
    return { source: tree.nameOf(templateFile), named, ...tokens }
  }
  return { source, named: namedIn(chat_template, `${source}: chat_template`), ...tokens }
}

/** Files that say the same of a folder, to be written beside others: a usual template as a file of its own,
 *  several, and tokens that are not Llama's, in tokenizer_config.json, with what that says already. */
export function filesOfTemplates(
  { named, bosToken, eosToken }: ChatTemplates,
  others: ReadonlyMap<string, Uint8Array>,
): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  const usual = named.get(usualName)
  const isOne = usual !== undefined && named.size === 1
  if (isOne) files.set(templateFile, new TextEncoder().encode(usual))
  const list = [...named].map(([name, template]) => ({ name, template }))
  const known = others.get(configFile)
  const before = known ? parseJson(known, configFile) : {}
  // A tokenizer that comes with such a file says there what its tokens are.
  const config = {
    ...(!known && bosToken !== llamas.bosToken && { bos_token: bosToken }),
    ...(!known && eosToken !== llamas.eosToken && { eos_token: eosToken }),
    ...(list.length > 0 && !isOne && { chat_template: list }),
  }
  if (Object.keys(config).length === 0) return files
  const text = JSON.stringify({ ...(isObject(before) ? before : {}), ...config }, null, 2)
  return files.set(configFile, new TextEncoder().encode(`${text}\n`))
}

function namedIn(given: unknown, name: string): ReadonlyMap<string, string> {
  if (given === undefined || given === null) return new Map()
  if (typeof given === "string") return new Map([[usualName, given]])
  const all: readonly unknown[] = Array.isArray(given) ? given : [given]
  const pairs = all.map((each): [string, string] => {
    const { name: own, template } = isObject(each) ? each : {}
    if (typeof own === "string" && typeof template === "string") return [own, template]
    throw new TypeError(`${name} is ${show(given)}, expected a text or a list of name and template`)
  })
  return new Map(pairs)
}

/** The text of a token, which may be an object with its ways. */
function tokenText(given: unknown, name: string): string | undefined {
  if (given === undefined || given === null) return undefined
  const text = isObject(given) ? given.content : given
  if (typeof text === "string") return text
  throw new TypeError(`${name} is ${show(given)}, expected a text`)
}
