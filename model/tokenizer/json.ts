// tokenizer.json of the Llama family: BPE pieces with a list of merges, byte fallback and added
// tokens. What the file asks for beyond that (byte-level pieces, regular expressions) is refused.
import { isObject, parseJson, show } from "../json.ts"
import { type AddedToken, checkedLength } from "./added.ts"
import { listedPairs, type Merge } from "./pairs.ts"
import {
  byteOf,
  bytePiece,
  type Merges,
  maxPieces,
  type Piece,
  type PieceKind,
  space,
  type TokenizerSettings,
  type Vocabulary,
} from "./vocabulary.ts"

type Json = Readonly<Record<string, unknown>>

/**
 * Reads a tokenizer.json. Throws SyntaxError for what does not parse, RangeError for what is
 * inconsistent or not supported.
 */
export function parseTokenizerJson(bytes: Uint8Array, source: string): Vocabulary {
  const json = parseJson(bytes, source)
  const model = isObject(json) && isObject(json.model) ? json.model : undefined
  if (!isObject(json) || model?.type !== "BPE") {
    throw unsupported(source, "model.type", model?.type, '"BPE"')
  }
  checkModel(model, source)
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

function checkModel(model: Json, source: string): void {
  const none = [undefined, null, false, "", 0]
  for (const key of ["dropout", "continuing_subword_prefix", "end_of_word_suffix"]) {
    if (!none.includes(model[key] as null)) {
      throw unsupported(source, `model.${key}`, model[key], "none")
    }
  }
  if (model.ignore_merges) throw unsupported(source, "model.ignore_merges", true, "false")
  const unknown = model.unk_token
  if (typeof unknown !== "string" && unknown !== null && unknown !== undefined) {
    throw unsupported(source, "model.unk_token", unknown, "a piece")
  }
}

// ---- Pieces -------------------------------------------------------------------------------------

type Vocab = ReadonlyMap<string, number>

function vocabOf({ vocab }: Json, source: string): Vocab {
  if (!isObject(vocab)) throw malformed(source, "model.vocab", vocab, "an object")
  for (const [text, id] of Object.entries(vocab)) {
    if (!isId(id)) throw malformed(source, `the id of ${show(text)}`, id, "a small whole number")
  }
  return new Map(Object.entries(vocab) as [string, number][])
}

const isId = (id: unknown): id is number =>
  typeof id === "number" && Number.isInteger(id) && id >= 0 && id < maxPieces

function addedTokens(list: unknown, vocab: Vocab, source: string): readonly AddedToken[] {
  if (!Array.isArray(list)) throw malformed(source, "added_tokens", list, "a list")
  const tokens = list.map((token: unknown, i) => addedToken(token, `added_tokens[${i}]`, source))
  for (const { id, content } of tokens) {
    const own = vocab.get(content) ?? id
    if (own === id) continue
    throw new RangeError(
      `${source} gives ${show(content)} the id ${id} as an added token, ${own} in model.vocab. ` +
        "Download it again",
    )
  }
  return checkedLength(tokens, source)
}

function addedToken(token: unknown, at: string, source: string): AddedToken {
  const given = isObject(token) ? token : ({} as Json)
  const { id, content } = given
  if (
    !isId(id) ||
    typeof content !== "string" ||
    content === "" ||
    /\p{Surrogate}/u.test(content)
  ) {
    throw malformed(source, at, content, "an object with id and content")
  }
  const flag = (name: string): boolean => {
    const value = given[name] ?? false
    if (typeof value === "boolean") return value
    throw malformed(source, `${at}.${name}`, value, "true or false")
  }
  return {
    id,
    content,
    special: flag("special"),
    normalized: flag("normalized"),
    singleWord: flag("single_word"),
    lstrip: flag("lstrip"),
    rstrip: flag("rstrip"),
  }
}

function piecesOf(
  model: Json,
  vocab: Vocab,
  added: readonly AddedToken[],
  source: string,
): Piece[] {
  const pieces: Piece[] = []
  const put = (id: number, text: string, kind: PieceKind): void => {
    const other = pieces[id]
    if (other && other.text !== text) {
      const both = `${show(other.text)} and ${show(text)}`
      throw new RangeError(`${source} gives the id ${id} to both ${both}. Download it again`)
    }
    pieces[id] = { text, kind }
  }
  const kindOf = (text: string): PieceKind => {
    if (text === model.unk_token) return "unknown"
    return model.byte_fallback === true && byteOf(text) >= 0 ? "byte" : "normal"
  }
  for (const [text, id] of vocab) put(id, text, kindOf(text))
  for (const { id, content, special } of added) {
    put(id, content, special && content !== model.unk_token ? "control" : kindOf(content))
  }
  for (let id = 0; id < pieces.length; id++) {
    if (pieces[id]) continue
    throw new RangeError(`${source} has no piece ${id} of ${pieces.length}. Download it again`)
  }
  return pieces
}

function byteIdsOf(vocab: Vocab, source: string): number[] {
  const ids = Array.from({ length: 256 }, (_, byte) => vocab.get(bytePiece(byte)))
  const found = ids.filter((id) => id !== undefined)
  if (found.length === 256) return found
  throw new RangeError(`${source} has ${found.length} byte pieces, expected 256. Download it again`)
}

// ---- Merges -------------------------------------------------------------------------------------

function mergesOf(given: unknown, ids: Vocab, source: string): Merges {
  if (!Array.isArray(given)) throw malformed(source, "model.merges", given, "a list")
  const list = given.map((pair: unknown, rank): Merge => {
    const [a, b, ...more] =
      typeof pair === "string" ? pair.split(" ") : Array.isArray(pair) ? pair : []
    const left = ids.get(a)
    const right = ids.get(b)
    const merged = ids.get(`${a}${b}`)
    if (left === undefined || right === undefined || merged === undefined || more.length > 0) {
      throw malformed(source, `model.merges[${rank}]`, pair, "two pieces that make a third")
    }
    return { left, right, merged }
  })
  const characters = new Map([...ids].filter(([text]) => [...text].length === 1))
  return { characters, extra: [], table: listedPairs(list) }
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

/** Steps of a Sequence, or the one step itself. */
const stepsOf = (value: unknown, key: string): unknown[] => {
  if (value === null) return []
  const isSequence = isObject(value) && value.type === "Sequence"
  const list = isSequence ? value[key] : undefined
  return Array.isArray(list) ? list : [value]
}

const isStep = (step: unknown, type: string, fields: Json = {}): step is Json =>
  isObject(step) &&
  step.type === type &&
  Object.entries(fields).every(
    ([key, value]) => JSON.stringify(step[key]) === JSON.stringify(value),
  )

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

// ---- Errors -------------------------------------------------------------------------------------

const unsupported = (source: string, what: string, got: unknown, expected: string): RangeError =>
  new RangeError(
    `${source} is not supported: ${what} is ${show(got)}, expected ${expected}. ` +
      "Use a tokenizer of the Llama family",
  )

const malformed = (source: string, what: string, got: unknown, expected: string): SyntaxError =>
  new SyntaxError(`${source}: ${what} is ${show(got)}, expected ${expected}. Download it again`)
