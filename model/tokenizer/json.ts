// tokenizer.json of the Llama family: BPE pieces with a list of merges, byte fallback and added
// tokens. What the file asks for beyond that (regular expressions) is refused; byte-level pieces are
// byte_level.ts's.
import { isObject, type Json } from "../json.ts"
import {
  addedTokens,
  checkModel,
  isStep,
  mergesOf,
  piecesOf,
  stepsOf,
  unsupported,
  type Vocab,
  vocabOf,
} from "./json_model.ts"
import { bytePiece, space, type TokenizerSettings, type Vocabulary } from "./vocabulary.ts"

/**
 * Reads a tokenizer.json. Throws SyntaxError for what has another form, RangeError for what is
 * inconsistent or not supported.
 */
export function parseTokenizerJson(json: unknown, source: string): Vocabulary {
  const model = isObject(json) && isObject(json.model) ? json.model : undefined
  if (!isObject(json) || model?.type !== "BPE") {
    throw unsupported(source, "model.type", model?.type, '"BPE"')
  }
  checkModel(model, source)
  if (model.ignore_merges) throw unsupported(source, "model.ignore_merges", true, "false")
  const vocab = vocabOf(model, source)
  const added = addedTokens(json.added_tokens ?? [], vocab, source)
  const pieces = piecesOf(model, vocab, added, source)
  const idOf = (text: unknown): number => pieces.findIndex((piece) => piece.text === text)
  const padId = idOf("<pad>")
  return {
    source,
    pieces,
    symbols: [...vocab.keys()],
    added,
    byteIds: model.byte_fallback === true ? byteIdsOf(vocab, source) : [],
    settings: settingsOf(json, model, source),
    unknownId: idOf(model.unk_token),
    bosId: idOf("<s>"),
    eosId: idOf("</s>"),
    padId: padId < 0 ? pieces.length : padId,
    merges: () => mergesOf(model.merges, vocab, source),
  }
}

function byteIdsOf(vocab: Vocab, source: string): number[] {
  const ids = Array.from({ length: 256 }, (_, byte) => vocab.get(bytePiece(byte)))
  const found = ids.filter((id) => id !== undefined)
  if (found.length === 256) return found
  throw new RangeError(`${source} has ${found.length} byte pieces, expected 256. Download it again`)
}

// ---- Settings -----------------------------------------------------------------------------------

function settingsOf(json: Json, model: Json, source: string): TokenizerSettings {
  const { normalizer, pre_tokenizer: words, decoder } = json
  const byNormalizer = normalizerSettings(normalizer ?? null, source)
  if (!byNormalizer.escapes && (words ?? null) === null) {
    throw unsupported(source, "normalizer", normalizer, `one that replaces " ", or Metaspace`)
  }
  return {
    ...byNormalizer,
    ...wordSettings(words ?? null, source),
    normalizesAdded: true,
    collapse: false,
    byteFallback: model.byte_fallback === true,
    fuseUnknown: model.fuse_unk === true,
    unknownText: "",
    stripPrefix: stripsPrefix(decoder ?? null, source) ? "text" : "never",
  }
}

function normalizerSettings(
  normalizer: unknown,
  source: string,
): Pick<TokenizerSettings, "prefix" | "escapes"> {
  let prefix = false
  let escapes = false
  for (const step of stepsOf(normalizer, "normalizers")) {
    if (isStep(step, "Prepend", { prepend: space }) && !prefix) prefix = true
    else if (isStep(step, "Replace", { pattern: { String: " " }, content: space })) escapes = true
    else throw unsupported(source, "normalizer", JSON.stringify(step), `Prepend or Replace " "`)
  }
  return { prefix, escapes }
}

function wordSettings(
  words: unknown,
  source: string,
): Pick<TokenizerSettings, "wordPrefix" | "splitSpaces"> {
  if (words === null) return { wordPrefix: "never", splitSpaces: false }
  if (!isStep(words, "Metaspace", { replacement: space })) {
    throw unsupported(source, "pre_tokenizer", JSON.stringify(words), "none or Metaspace")
  }
  const given = words.prepend_scheme ?? (words.add_prefix_space === false ? "never" : "always")
  const names = { always: "each", first: "first", never: "never" } as const
  if (!isPrefix(given)) {
    throw unsupported(source, "prepend_scheme", given, "always, first or never")
  }
  return { wordPrefix: names[given], splitSpaces: words.split !== false }
}

const isPrefix = (name: unknown): name is "always" | "first" | "never" =>
  name === "always" || name === "first" || name === "never"

/** Whether decoding removes the first space. */
function stripsPrefix(decoder: unknown, source: string): boolean {
  let strips = false
  for (const step of stepsOf(decoder, "decoders")) {
    if (isStep(step, "Strip", { content: " ", start: 1, stop: 0 })) strips = true
    else if (isStep(step, "Metaspace", { replacement: space })) {
      strips = step.prepend_scheme !== "never" && step.add_prefix_space !== false
    } else if (
      !isStep(step, "Replace", { pattern: { String: space }, content: " " }) &&
      !isStep(step, "ByteFallback") &&
      !isStep(step, "Fuse")
    ) {
      throw unsupported(source, "decoder", JSON.stringify(step), "Replace, ByteFallback, Strip")
    }
  }
  return strips
}
