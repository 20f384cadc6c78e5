// Byte-level tokenizers in GGUF files, tokenizer.ggml.model "gpt2": tokens in the characters that bytes are
// written as, merges, and the name of the rules that cut a text into words, tokenizer.ggml.pre. They are
// read as the tokenizer.json that says the same, and written from one.
import { isObject, type Json, parseJson, show } from "../../json.ts"
import { parseTokenizer, type Tokenizer } from "../../tokenizer/index.ts"
import type { Typed } from "./encode.ts"
import type { Metadata } from "./header.ts"
import { listIn, rowsOf } from "./lists.ts"

const key = (name: string): string => `tokenizer.ggml.${name}`
const source = (file: string): string => `${file}: its tokenizer`

// ---- Words --------------------------------------------------------------------------------------

/** How words are cut before merging: what tokenizer.json calls normalizer and pre-tokenizer. */
interface Words {
  readonly normalizer: Json | null
  readonly steps: readonly Json[]
  readonly ignoresMerges?: boolean
}

const nfc = { type: "NFC" }
const byteLevel = (regex: boolean) => ({
  ...{ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: regex },
})
const digits = { type: "Digits", individual_digits: true }
/** Contractions, letters, runs of up to so many digits, other characters, line breaks, white space. */
const split = (numbers: string) => ({
  type: "Split",
  pattern: {
    Regex:
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" +
      `${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
  },
  ...{ behavior: "Isolated", invert: false },
})

/** By the names that llama.cpp has for them; of those that say the same, the first is written. */
const rules: ReadonlyMap<string, Words> = new Map<string, Words>([
  ["gpt-2", { normalizer: null, steps: [byteLevel(true)] }],
  ["phi-2", { normalizer: null, steps: [byteLevel(true)] }],
  ["olmo", { normalizer: nfc, steps: [byteLevel(true)] }],
  ["mpt", { normalizer: nfc, steps: [byteLevel(true)] }],
  ["starcoder", { normalizer: null, steps: [digits, byteLevel(true)] }],
  ["refact", { normalizer: null, steps: [digits, byteLevel(true)] }],
  ["smollm", { normalizer: null, steps: [digits, byteLevel(true)] }],
  [
    "llama-bpe",
    { normalizer: null, steps: [split("\\p{N}{1,3}"), byteLevel(false)], ignoresMerges: true },
  ],
  ["dbrx", { normalizer: null, steps: [split("\\p{N}{1,3}"), byteLevel(false)] }],
  ["qwen2", { normalizer: nfc, steps: [split("\\p{N}"), byteLevel(false)] }],
])

const ruleNames = [...rules.keys()].join(", ")

/** What counts in a step of a tokenizer.json, in a fixed order; offsets do not. */
const plainStep = ({ trim_offsets: _, ...step }: Json): string =>
  JSON.stringify(Object.entries({ ...step, ...regexOf(step) }).sort(([a], [b]) => (a < b ? -1 : 1)))

/** ByteLevel cuts by its expression where it does not say that it does not. */
const regexOf = ({ type, use_regex: regex }: Json): Json =>
  type === "ByteLevel" ? { use_regex: regex !== false } : {}

/** Steps of a Sequence, or the one step itself. */
function stepsOf(value: unknown, list: string): readonly Json[] {
  if (!isObject(value)) return []
  const inner = value.type === "Sequence" ? value[list] : [value]
  return Array.isArray(inner) ? inner.filter(isObject) : []
}

/** The name of the rules of a tokenizer.json; undefined for those that have none. */
function ruleOf({ normalizer, pre_tokenizer: words, model }: Json): string | undefined {
  const all = (steps: readonly Json[]): string => steps.map(plainStep).join()
  const got = [stepsOf(normalizer, "normalizers"), stepsOf(words, "pretokenizers")] as const
  const ignores = isObject(model) && model.ignore_merges === true
  const found = [...rules].find(
    ([, { normalizer, steps, ignoresMerges = false }]) =>
      all(normalizer ? [normalizer] : []) === all(got[0]) &&
      all(steps) === all(got[1]) &&
      ignoresMerges === ignores,
  )
  return found?.[0]
}

// ---- Reading ------------------------------------------------------------------------------------

const kinds = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5 } as const

/** Throws RangeError for rules that are not known here, and SyntaxError for merges of what are no tokens. */
export function byteLevelOf(metadata: Metadata, file: string): Tokenizer {
  const pre = metadata.get(key("pre"))
  const words = typeof pre === "string" ? rules.get(pre) : undefined
  if (!words) {
    throw new RangeError(
      `${file}: ${key("pre")} is ${show(pre)}, expected one of ${ruleNames}. Give another tokenizer`,
    )
  }
  const { texts, types } = rowsOf(metadata, file, kinds.unused)
  const vocab: [string, number][] = []
  const added: Json[] = []
  let unknown: string | null = null
  for (const [id, text] of texts.entries()) {
    const type = types[id] as number
    if (!Object.values<number>(kinds).includes(type)) {
      throw new RangeError(`${file}: token ${show(text)} is of the type ${show(type)}`)
    }
    if (type === kinds.unknown) unknown = text
    const isAdded = type === kinds.control || type === kinds.user || type === kinds.unused
    if (!isAdded) vocab.push([text, id])
    else {
      const isUser = type === kinds.user
      const normalized = isUser && words.normalizer !== null
      added.push({ id, content: text, special: !isUser, normalized })
    }
  }
  const json = {
    version: "1.0",
    added_tokens: added,
    normalizer: words.normalizer,
    pre_tokenizer: { type: "Sequence", pretokenizers: words.steps },
    post_processor: beginningOf(metadata, texts, file),
    decoder: byteLevel(true),
    model: {
      ...{ type: "BPE", unk_token: unknown, ignore_merges: words.ignoresMerges === true },
      ...{ vocab: Object.fromEntries(vocab), merges: listIn(metadata, file, "merges", "string") },
    },
  }
  return parseTokenizer(new TextEncoder().encode(JSON.stringify(json)), source(file))
}

/** The token that goes before every text, as a template; without one null. As in llama.cpp, rules that
 *  take whole words before merging have one unless the file says otherwise. */
function beginningOf(metadata: Metadata, texts: readonly string[], file: string): Json | null {
  const adds = metadata.get(key("add_bos_token")) ?? metadata.get(key("pre")) === "llama-bpe"
  if (adds !== true) return null
  const id = metadata.get(key("bos_token_id"))
  const content = typeof id === "number" ? texts[id] : undefined
  if (content === undefined) {
    throw new RangeError(
      `${file}: ${key("bos_token_id")} is ${show(id)}, expected the place of the token before each text`,
    )
  }
  const single = [
    { SpecialToken: { id: content, type_id: 0 } },
    { Sequence: { id: "A", type_id: 0 } },
  ]
  const special = { [content]: { id: content, ids: [id], tokens: [content] } }
  return { type: "TemplateProcessing", single, pair: single, special_tokens: special }
}

// ---- Writing ------------------------------------------------------------------------------------

/** The metadata of a byte-level tokenizer.json, filled up to the rows of the embedding; undefined for one of
 *  another family. Throws RangeError for rules that GGUF has no name for. */
export function byteVocabularyOf(
  { file, vocabSize, bosId, eosId, padId }: Tokenizer,
  rows: number,
): Record<string, Typed> | undefined {
  const json = file.name === "tokenizer.json" ? parseJson(file.bytes, file.name) : undefined
  if (!isObject(json) || !isObject(json.model)) return undefined
  if (!stepsOf(json.pre_tokenizer, "pretokenizers").some(({ type }) => type === "ByteLevel")) {
    return undefined
  }
  const pre = ruleOf(json)
  if (pre === undefined) {
    throw new RangeError(
      `GGUF has no name for how this ${file.name} cuts words: its normalizer is ` +
        `${show(json.normalizer)}, its pre_tokenizer ${JSON.stringify(json.pre_tokenizer)}, expected ` +
        `those of ${ruleNames}`,
    )
  }
  const { vocab, merges, unk_token: unknown } = json.model
  const tokens = new Map(
    Object.entries(isObject(vocab) ? vocab : {}).map(([text, id]) => [id, text]),
  )
  const types = new Map<unknown, number>()
  for (const token of addedOf(json, file.name)) {
    tokens.set(token.id, token.content as string)
    types.set(token.id, token.special === true ? kinds.control : kinds.user)
  }
  const ids = Array.from({ length: rows }, (_, id) => id)
  const isPiece = (id: number): boolean => id < vocabSize
  const typeOf = (id: number): number => {
    if (!isPiece(id)) return kinds.unused
    return types.get(id) ?? (tokens.get(id) === unknown ? kinds.unknown : kinds.normal)
  }
  return {
    [key("model")]: { text: "gpt2" },
    [key("pre")]: { text: pre },
    [key("tokens")]: {
      texts: ids.map((id) => (isPiece(id) ? (tokens.get(id) as string) : `[PAD${id}]`)),
    },
    [key("token_type")]: { i32s: ids.map(typeOf) },
    [key("merges")]: {
      texts: (merges as (string | string[])[]).map((pair) =>
        typeof pair === "string" ? pair : pair.join(" "),
      ),
    },
    ...(bosId >= 0 && { [key("bos_token_id")]: { u32: bosId } }),
    ...(eosId >= 0 && { [key("eos_token_id")]: { u32: eosId } }),
    ...(isPiece(padId) && { [key("padding_token_id")]: { u32: padId } }),
    [key("add_bos_token")]: { bool: bosId >= 0 },
  }
}

/** Throws RangeError for tokens that take the space beside them, or are found between words alone. */
function addedOf({ added_tokens: list }: Json, file: string): readonly Json[] {
  const tokens = Array.isArray(list) ? list.filter(isObject) : []
  for (const token of tokens) {
    const way = ["lstrip", "rstrip", "single_word"].find((name) => token[name] === true)
    if (way === undefined) continue
    throw new RangeError(
      `GGUF does not say how ${show(token.content)} of this ${file} is found: it has ${way}`,
    )
  }
  return tokens
}
