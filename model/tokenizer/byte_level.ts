// tokenizer.json of the GPT-2 family (GPT-NeoX, OPT and others): pieces are bytes, each written as a
// character that can be seen, and merge within words. What these rules do not cover is refused.
import { isObject, type Json } from "../json.ts"
import { type AddedToken, aroundAdded, type Encode, wholeCharacters } from "./added.ts"
import { bytePieceStreamOf } from "./decode.ts"
import {
  addedTokens,
  checkModel,
  isStep,
  malformed,
  mergesOf,
  piecesOf,
  stepsOf,
  unsupported,
  type Vocab,
  vocabOf,
} from "./json_model.ts"
import { mergerOf } from "./merge.ts"
import type { JsonFamily, TokenizerRules } from "./vocabulary.ts"
import { remembered } from "./word_cache.ts"
import { around, type Cut, gpt2Words, translated } from "./words.ts"

/** The character that a byte is written as: its own where that is printable, else one from U+0100 on. */
const byteCharacters: readonly string[] = (() => {
  let next = 0x100
  const isPrintable = (byte: number): boolean =>
    (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad)
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(isPrintable(byte) ? byte : next++),
  )
})()
const bytesOfCharacters = new Map(byteCharacters.map((character, byte) => [character, byte]))

/** Texts of the tokens that end a text and that fill up a batch: no field of the file says which. */
export const eosTexts = ["<|endoftext|>", "</s>", "<|end_of_text|>"]
const padTexts = ["<pad>", "<|padding|>", "<|pad|>"]

export const byteLevel: JsonFamily = {
  reads: (json) =>
    isObject(json) &&
    stepsOf(json.decoder ?? null, "decoders").some((step) => isStep(step, "ByteLevel")),
  rulesOf: (json, source) => parseByteLevel(isObject(json) ? json : {}, source),
}

function parseByteLevel(json: Json, source: string): TokenizerRules {
  const { model } = json
  if (!isObject(model) || (model.type ?? "BPE") !== "BPE") {
    throw unsupported(source, "model.type", isObject(model) ? model.type : model, '"BPE"')
  }
  checkModel(model, source)
  for (const name of ["byte_fallback", "fuse_unk"]) {
    if (model[name]) throw unsupported(source, `model.${name}`, model[name], "false")
  }
  checkDecoder(json.decoder, source)
  const vocab = vocabOf(model, source)
  const added = addedTokens(json.added_tokens ?? [], vocab, source)
  const pieces = piecesOf(model, vocab, added, source)
  const cut = cutOf(json.pre_tokenizer ?? null, source)
  const normalize = normalizerOf(json.normalizer ?? null, source)
  const specialOf = (texts: readonly string[]): number => {
    const found = texts.map((text) => added.find((token) => token.content === text)?.id)
    return found.find((id) => id !== undefined) ?? -1
  }
  const padId = specialOf(padTexts)
  const meanings = meaningsOf(pieces, added)
  // Padding is no text, also where the vocabulary has no piece for it.
  if (padId < 0) meanings.push("")
  return {
    source,
    vocabSize: pieces.length,
    bosId: bosOf(json.post_processor ?? null, pieces.length, source),
    eosId: specialOf(eosTexts),
    padId: padId < 0 ? pieces.length : padId,
    meanings,
    stream: bytePieceStreamOf(meanings, source),
    encoder: () => encoderOf(added, normalize, cut, wordEncoder(model, vocab, source)),
  }
}

/** Bytes of pieces; texts of added tokens, of which control tokens have none. The tokenizers library
 *  takes the characters of an added token for bytes too, where they could be: "é" comes back broken. */
function meaningsOf(
  pieces: readonly { readonly text: string }[],
  added: readonly AddedToken[],
): (string | Uint8Array)[] {
  const utf8 = new TextEncoder()
  const meanings = pieces.map(({ text }): string | Uint8Array => {
    const bytes = Array.from(text, (character) => bytesOfCharacters.get(character) ?? -1)
    return bytes.includes(-1) ? utf8.encode(text) : Uint8Array.from(bytes)
  })
  for (const { id, content, special } of added) meanings[id] = special ? "" : content
  return meanings
}

// ---- Text to ids --------------------------------------------------------------------------------

type EncodeWord = (word: string) => Int32Array

function encoderOf(
  added: readonly AddedToken[],
  normalize: (text: string) => string,
  cut: Cut,
  encodeWord: EncodeWord,
): Encode {
  const idsOf = remembered(encodeWord)
  const encode = aroundAdded(added, {
    textOf: ({ content }) => normalize(content),
    normalize,
    append: (text, _, out) =>
      cut(text, (word) => {
        const ids = idsOf(word)
        for (let i = 0; i < ids.length; i++) out.push(ids[i] as number)
      }),
  })
  return (text, out, special) => encode(wholeCharacters(text), out, special)
}

function wordEncoder(model: Json, vocab: Vocab, source: string): EncodeWord {
  const merge = mergerOf(mergesOf(model.merges, vocab, source).table)
  const unknown = vocab.get(model.unk_token as string)
  const byteIds = byteCharacters.map((character) => vocab.get(character) ?? unknown)
  const utf8 = new TextEncoder()
  let bytes = new Uint8Array(256)
  let symbols = new Int32Array(256)
  return (word) => {
    if (3 * word.length > bytes.length) {
      bytes = new Uint8Array(6 * word.length)
      symbols = new Int32Array(bytes.length)
    }
    const { written } = utf8.encodeInto(word, bytes)
    const whole = model.ignore_merges === true && vocab.get(writtenAs(bytes.subarray(0, written)))
    if (typeof whole === "number") return Int32Array.of(whole)
    for (let i = 0; i < written; i++) {
      const byte = bytes[i] as number
      symbols[i] = byteIds[byte] ?? missing(byte, source)
    }
    return symbols.subarray(0, merge(symbols, written))
  }
}

const writtenAs = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byteCharacters[byte]).join("")

function missing(byte: number, source: string): never {
  throw new RangeError(
    `${source} has no piece for the byte ${byte}, nor one for unknown ones. Download it again`,
  )
}

// ---- Steps of the file --------------------------------------------------------------------------

const forms = ["NFC", "NFD", "NFKC", "NFKD"] as const

function normalizerOf(normalizer: unknown, source: string): (text: string) => string {
  const steps = stepsOf(normalizer, "normalizers").map((step) => {
    const form = forms.find((type) => isStep(step, type))
    if (form) return form
    throw unsupported(source, "normalizer", JSON.stringify(step), forms.join(", "))
  })
  return (text) => steps.reduce((result, form) => result.normalize(form), text)
}

/** The cuts of all steps, one within the words of another. */
function cutOf(preTokenizer: unknown, source: string): Cut {
  const steps = stepsOf(preTokenizer, "pretokenizers")
  const count = steps.filter((step) => isStep(step, "ByteLevel")).length
  if (count !== 1 || !isStep(steps.at(-1), "ByteLevel")) {
    const got = JSON.stringify(preTokenizer)
    throw unsupported(source, "pre_tokenizer", got, "one that ends with its only ByteLevel")
  }
  return steps
    .map((step) => cutOfStep(step, source))
    .reduceRight((inner, cut) => (text, each) => cut(text, (word) => inner(word, each)))
}

function cutOfStep(step: unknown, source: string): Cut {
  if (isStep(step, "ByteLevel")) {
    const words: Cut = step.use_regex === false ? (text, each) => each(text) : gpt2Words
    if (step.add_prefix_space === false) return words
    return (text, each) => words(text.startsWith(" ") ? text : ` ${text}`, each)
  }
  if (isStep(step, "Digits")) {
    return around(step.individual_digits === true ? /\p{N}/gu : /\p{N}+/gu)
  }
  const pattern =
    isStep(step, "Split", { behavior: "Isolated", invert: false }) && isObject(step.pattern)
      ? patternOf(step.pattern)
      : undefined
  if (pattern) return around(pattern)
  throw unsupported(
    source,
    "pre_tokenizer",
    JSON.stringify(step),
    "ByteLevel, Digits, or Split that isolates what a plain pattern finds",
  )
}

function patternOf({ Regex: regex, String: text }: Json): RegExp | undefined {
  if (typeof regex === "string") return translated(regex)
  if (typeof text !== "string" || text === "") return undefined
  return new RegExp(text.replace(/[\^$\\.*+?()[\]{}|/]/g, "\\$&"), "gu")
}

function checkDecoder(decoder: unknown, source: string): void {
  for (const step of stepsOf(decoder ?? null, "decoders")) {
    if (isStep(step, "ByteLevel") || isStep(step, "Fuse")) continue
    throw unsupported(source, "decoder", JSON.stringify(step), "ByteLevel")
  }
}

/** The token that the file puts before every text, -1 for none. */
function bosOf(processor: unknown, count: number, source: string): number {
  let bos = -1
  for (const step of stepsOf(processor, "processors")) {
    if (isStep(step, "ByteLevel")) continue
    const list = isStep(step, "TemplateProcessing") ? step.single : undefined
    const [first, ...rest] = Array.isArray(list) ? list.toReversed() : []
    const name = namedIn(rest[0], "SpecialToken")
    if (bos >= 0 || namedIn(first, "Sequence") === undefined || rest.length > 1) {
      const expected = "ByteLevel, or a template of one token at most and the text"
      throw unsupported(source, "post_processor", JSON.stringify(step), expected)
    }
    if (rest.length === 0) continue
    bos = idOfSpecial(step as Json, name, count, source)
  }
  return bos
}

const namedIn = (part: unknown, type: string): string | undefined => {
  const inner = isObject(part) ? part[type] : undefined
  return isObject(inner) && typeof inner.id === "string" ? inner.id : undefined
}

function idOfSpecial(
  { special_tokens: given }: Json,
  name: string | undefined,
  count: number,
  source: string,
): number {
  const token = isObject(given) && name !== undefined ? given[name] : undefined
  const ids = isObject(token) && Array.isArray(token.ids) ? token.ids : []
  const [id] = ids
  if (ids.length === 1 && Number.isInteger(id) && id >= 0 && id < count) return id
  throw malformed(source, `post_processor.special_tokens[${name}].ids`, ids, "the id of one piece")
}
