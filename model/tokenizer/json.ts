// tokenizer.json of the Llama family: BPE pieces with a list of merges, byte fallback and added
// tokens. What the file asks for beyond that (byte-level pieces, regular expressions) is refused.
import { isObject, parseJson, show } from "../json.ts"
import {
  byteOf,
  type Merge,
  type Merges,
  type Piece,
  type PieceKind,
  type Settings,
  space,
  type Vocabulary,
} from "./vocabulary.ts"

type Json = Readonly<Record<string, unknown>>

interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
  /** Looked for in the text as the normalizer leaves it. */
  readonly normalized: boolean
}

/** More than any tokenizer has, and few enough for memory. */
const maxPieces = 1 << 20

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
  const added = addedTokens(json.added_tokens ?? [], source)
  const pieces = piecesOf(model, added, source)
  const settings = settingsOf(json, model, source)
  const odd = added.find(({ special, normalized }) => !special && normalized)
  if (odd && settings.prefix === "each" && !settings.prefixIfMissing) {
    const what = `normalized of the added token ${show(odd.content)}`
    throw unsupported(source, what, true, "false where the normalizer prepends")
  }
  const idOf = (text: unknown): number => pieces.findIndex((piece) => piece.text === text)
  const padId = idOf("<pad>")
  return {
    source,
    pieces,
    settings,
    unknownId: idOf(model.unk_token),
    bosId: idOf("<s>"),
    eosId: idOf("</s>"),
    padId: padId < 0 ? pieces.length : padId,
    merges: () => mergesOf(model.merges, pieces, source),
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

function addedTokens(list: unknown, source: string): AddedToken[] {
  if (!Array.isArray(list)) throw malformed(source, "added_tokens", list, "a list")
  return list.map((token: unknown, i) => {
    const { id, content, special } = isObject(token) ? token : ({} as Json)
    if (!isId(id) || typeof content !== "string" || content === "") {
      throw malformed(source, `added_tokens[${i}]`, content, "an object with id and content")
    }
    const flags = token as Json
    for (const flag of ["single_word", "lstrip", "rstrip"]) {
      if (special || !flags[flag]) continue
      throw unsupported(source, `${flag} of the added token ${show(content)}`, true, "false")
    }
    return { id, content, special: special === true, normalized: flags.normalized === true }
  })
}

const isId = (id: unknown): id is number =>
  typeof id === "number" && Number.isInteger(id) && id >= 0 && id < maxPieces

function piecesOf(model: Json, added: readonly AddedToken[], source: string): Piece[] {
  const pieces: Piece[] = []
  const put = (id: unknown, text: string, kind: PieceKind): void => {
    if (!isId(id)) throw malformed(source, `the id of ${show(text)}`, id, "a small whole number")
    const other = pieces[id]
    if (other && other.text !== text) {
      const both = `${show(other.text)} and ${show(text)}`
      throw new RangeError(`${source} gives the id ${id} to both ${both}. Download it again`)
    }
    pieces[id] = { text, kind }
  }
  if (!isObject(model.vocab)) throw malformed(source, "model.vocab", model.vocab, "an object")
  const isByte = (text: string): boolean => model.byte_fallback === true && byteOf(text) >= 0
  for (const [text, id] of Object.entries(model.vocab)) {
    put(id, text, text === model.unk_token ? "unknown" : isByte(text) ? "byte" : "normal")
  }
  for (const { id, content, special } of added) {
    const isUnknown = content === model.unk_token
    put(id, content, isUnknown ? "unknown" : special ? "control" : "user")
  }
  for (let id = 0; id < pieces.length; id++) {
    if (pieces[id]) continue
    throw new RangeError(`${source} has no piece ${id} of ${pieces.length}. Download it again`)
  }
  const bytes = new Set(pieces.filter(({ kind }) => kind === "byte").map(({ text }) => text))
  if (model.byte_fallback === true && bytes.size !== 256) {
    throw new RangeError(`${source} has ${bytes.size} byte pieces, expected 256. Download it again`)
  }
  return pieces
}

// ---- Merges -------------------------------------------------------------------------------------

function mergesOf(given: unknown, pieces: readonly Piece[], source: string): Merges {
  const ids = new Map<string, number>()
  for (const [id, { text, kind }] of pieces.entries()) if (kind === "normal") ids.set(text, id)
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
    return { left, right, merged, rank }
  })
  const characters = new Map([...ids].filter(([text]) => [...text].length === 1))
  return { characters, extra: [], list }
}

// ---- Settings -----------------------------------------------------------------------------------

type Prefix = Pick<Settings, "prefix" | "prefixIfMissing" | "splitSpaces">

function settingsOf(json: Json, model: Json, source: string): Settings {
  const { normalizer, pre_tokenizer: words, decoder } = json
  const byNormalizer = prefixOfNormalizer(normalizer ?? null, source)
  const byWords = prefixOfWords(words ?? null, source)
  if (byNormalizer.prefix !== "never" && byWords.prefix !== "never") {
    throw unsupported(source, "a prefix in both normalizer and pre_tokenizer", "twice", "one")
  }
  return {
    ...(byWords.prefix === "never"
      ? { ...byNormalizer, splitSpaces: byWords.splitSpaces }
      : byWords),
    collapse: false,
    byteFallback: model.byte_fallback === true,
    fuseUnknown: model.fuse_unk === true,
    unknownText: "",
    stripPrefix: stripsPrefix(decoder ?? null, source),
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

function prefixOfNormalizer(normalizer: unknown, source: string): Prefix {
  const steps = stepsOf(normalizer, "normalizers")
  let prefix: Prefix["prefix"] = "never"
  for (const step of steps) {
    if (isStep(step, "Prepend", { prepend: space })) prefix = "each"
    else if (!isStep(step, "Replace", { pattern: { String: " " }, content: space })) {
      throw unsupported(source, "normalizer", JSON.stringify(step), `Prepend or Replace " "`)
    }
  }
  return { prefix, prefixIfMissing: false, splitSpaces: false }
}

function prefixOfWords(words: unknown, source: string): Prefix {
  if (words === null) return { prefix: "never", prefixIfMissing: false, splitSpaces: false }
  if (!isStep(words, "Metaspace", { replacement: space })) {
    throw unsupported(source, "pre_tokenizer", JSON.stringify(words), "none or Metaspace")
  }
  const given = words.prepend_scheme ?? (words.add_prefix_space === false ? "never" : "always")
  const prefix = { always: "each", first: "first", never: "never" }[String(given)]
  if (!prefix) throw unsupported(source, "prepend_scheme", given, "always, first or never")
  return {
    prefix: prefix as Prefix["prefix"],
    prefixIfMissing: true,
    splitSpaces: words.split !== false,
  }
}

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
