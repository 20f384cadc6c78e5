// GPT-2's older files, vocab.json with merges.txt and what lies beside them, as the tokenizer.json that
// says the same: there is one reader of the rules, and one file to hand to a thread.

import type { Json } from "../json.ts"
import { isObject, parseJson, show } from "../json.ts"
import { eosTexts } from "./byte_level.ts"

/** The file that says how such a folder is read, where it has one. */
const configFile = "tokenizer_config.json"
export const vocabFile = "vocab.json"
export const mergesFile = "merges.txt"
/** Files beside the two, each of which may be missing. */
export const vocabExtras = [configFile, "special_tokens_map.json", "added_tokens.json"] as const

/** Classes whose rules are GPT-2's. A folder that names none is taken for one of them. */
const classes = ["GPT2Tokenizer", "GPT2TokenizerFast", "CodeGenTokenizer", "CodeGenTokenizerFast"]

interface Token {
  readonly id: number
  readonly content: string
  readonly special: boolean
  readonly normalized: boolean
  readonly single_word: boolean
  readonly lstrip: boolean
  readonly rstrip: boolean
}

/**
 * The tokenizer.json of the files of a folder, by name. Throws SyntaxError for files that do not parse,
 * RangeError for what is not supported; `nameOf` gives a file's path for messages.
 */
export function tokenizerJsonOf(
  files: ReadonlyMap<string, Uint8Array>,
  nameOf: (file: string) => string,
): Uint8Array {
  const jsonOf = (file: string): Json => {
    const bytes = files.get(file)
    if (bytes === undefined) return {}
    const json = parseJson(bytes, nameOf(file))
    if (isObject(json)) return json
    throw new SyntaxError(`${nameOf(file)} is ${show(json)}, expected an object. Download it again`)
  }
  const [config, map, extra] = vocabExtras.map(jsonOf) as [Json, Json, Json]
  const vocab = jsonOf(vocabFile)
  const specials = specialsOf(config, map, vocab)
  checkConfig(config, specials, nameOf(configFile))
  const tokens = tokensOf(vocab, extra, config, specials)
  const byteLevel = {
    type: "ByteLevel",
    add_prefix_space: config.add_prefix_space === true,
    trim_offsets: true,
    use_regex: true,
  }
  const bos = config.add_bos_token === true ? tokens.get(specials.get("bos_token")?.content) : null
  if (bos === undefined) {
    throw new RangeError(`${nameOf(configFile)} has add_bos_token, but no bos_token. Add one`)
  }
  const json = {
    version: "1.0",
    added_tokens: [...tokens.values()].sort((a, b) => a.id - b.id),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: bos ? templateOf(bos) : byteLevel,
    decoder: byteLevel,
    model: { type: "BPE", vocab, merges: mergesOf(files.get(mergesFile), nameOf(mergesFile)) },
  }
  return new TextEncoder().encode(`${JSON.stringify(json)}\n`)
}

/** Lines of two pieces each; the first may say a version. */
function mergesOf(bytes: Uint8Array | undefined, source: string): string[] {
  const lines = new TextDecoder("utf-8", { ignoreBOM: false }).decode(bytes).split(/\r?\n/)
  if (lines[0]?.startsWith("#version")) lines.shift()
  while (lines.at(-1) === "") lines.pop()
  for (const [i, line] of lines.entries()) {
    if (/^[^ ]+ [^ ]+$/.test(line)) continue
    throw new SyntaxError(
      `${source}: merge ${i} is ${show(line)}, expected two pieces. Download it again`,
    )
  }
  return lines
}

/** Puts one token before the text. */
const templateOf = ({ content, id }: Token) => {
  const text = (name: string, type: number) => ({ Sequence: { id: name, type_id: type } })
  const token = { SpecialToken: { id: content, type_id: 0 } }
  return {
    type: "TemplateProcessing",
    single: [token, text("A", 0)],
    pair: [token, text("A", 0), text("B", 1)],
    special_tokens: { [content]: { id: content, ids: [id], tokens: [content] } },
  }
}

// ---- Tokens that are found before merging -------------------------------------------------------

type Specials = ReadonlyMap<string, Omit<Token, "id">>

const specialKeys = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((key) => `${key}_token`)

/** Special tokens by what they are for; where no file says, GPT-2's one for three uses. */
function specialsOf(config: Json, map: Json, vocab: Json): Specials {
  const found = new Map<string, Omit<Token, "id">>()
  const put = (key: string, given: unknown): void => {
    const content = isObject(given) ? given.content : given
    if (typeof content === "string" && content !== "") {
      found.set(key, { ...flagsOf(given), content, special: true })
    }
  }
  for (const key of specialKeys) put(key, config[key] ?? map[key] ?? usual(key, config, vocab))
  const more = config.additional_special_tokens ?? map.additional_special_tokens
  for (const [i, each] of (Array.isArray(more) ? more : []).entries()) put(`more ${i}`, each)
  return found
}

const usual = (key: string, config: Json, vocab: Json): string | undefined => {
  const isOne = ["bos_token", "eos_token", "unk_token"].includes(key) && !(key in config)
  return isOne && Object.hasOwn(vocab, "<|endoftext|>") ? "<|endoftext|>" : undefined
}

const flagsOf = (given: unknown) => {
  const flag = (name: string): boolean => isObject(given) && given[name] === true
  return {
    // No text is normalized here.
    normalized: false,
    single_word: flag("single_word"),
    lstrip: flag("lstrip"),
    rstrip: flag("rstrip"),
  }
}

/** All added tokens by text: those of the files, then the special ones, with ids at the end of the
 *  vocabulary where they have none. */
function tokensOf(
  vocab: Json,
  extra: Json,
  { added_tokens_decoder: listed }: Json,
  specials: Specials,
): Map<unknown, Token> {
  const tokens = new Map<unknown, Token>()
  for (const [content, id] of Object.entries(extra)) {
    tokens.set(content, { ...flagsOf({}), id: id as number, content, special: false })
  }
  for (const [id, given] of Object.entries(isObject(listed) ? listed : {})) {
    if (!isObject(given) || typeof given.content !== "string") continue
    const { content, special } = given
    const isSpecial = special === true
    tokens.set(content, { ...flagsOf(given), id: Number(id), content, special: isSpecial })
  }
  const highest = (ids: readonly unknown[]): number =>
    ids.reduce((most: number, id) => Math.max(most, Number(id)), -1)
  let next = 1 + highest([...Object.values(vocab), ...[...tokens.values()].map(({ id }) => id)])
  for (const token of specials.values()) {
    const { content } = token
    const own = Object.hasOwn(vocab, content) ? (vocab[content] as number) : undefined
    const id = tokens.get(content)?.id ?? own ?? next++
    tokens.set(content, { ...token, id })
  }
  return tokens
}

function checkConfig(config: Json, specials: Specials, source: string): void {
  const { tokenizer_class: name = classes[0] } = config
  const eos = specials.get("eos_token")?.content
  const refuse = (key: string, got: unknown, expected: string): never => {
    throw new RangeError(
      `${source} is not supported: ${key} is ${show(got)}, expected ${expected}. ` +
        "Use the model's tokenizer.json",
    )
  }
  if (!classes.includes(name as string)) refuse("tokenizer_class", name, classes.join(", "))
  if (config.add_eos_token === true) refuse("add_eos_token", true, "false")
  // A tokenizer.json does not say which token ends a text: its name does.
  if (eos !== undefined && !eosTexts.includes(eos)) refuse("eos_token", eos, eosTexts.join(", "))
}
