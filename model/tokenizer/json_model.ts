// What every tokenizer.json of byte-pair merging holds, whatever its family: pieces with ids, a list of
// merges, added tokens, and steps of several types.
import type { Json } from "../json.ts"
import { isObject, show } from "../json.ts"
import { type AddedToken, checkedLength } from "./added.ts"
import { listedPairs, type Merge } from "./pairs.ts"
import { byteOf, type Merges, maxPieces, type Piece, type PieceKind } from "./vocabulary.ts"

export function checkModel(model: Json, source: string): void {
  const none = [undefined, null, false, "", 0]
  for (const key of ["dropout", "continuing_subword_prefix", "end_of_word_suffix"]) {
    if (!none.includes(model[key] as null)) {
      throw unsupported(source, `model.${key}`, model[key], "none")
    }
  }
  const unknown = model.unk_token
  if (typeof unknown !== "string" && unknown !== null && unknown !== undefined) {
    throw unsupported(source, "model.unk_token", unknown, "a piece")
  }
}

// ---- Pieces -------------------------------------------------------------------------------------

export type Vocab = ReadonlyMap<string, number>

export function vocabOf({ vocab }: Json, source: string): Vocab {
  if (!isObject(vocab)) throw malformed(source, "model.vocab", vocab, "an object")
  for (const [text, id] of Object.entries(vocab)) {
    if (!isId(id)) throw malformed(source, `the id of ${show(text)}`, id, "a small whole number")
  }
  return new Map(Object.entries(vocab) as [string, number][])
}

const isId = (id: unknown): id is number =>
  typeof id === "number" && Number.isInteger(id) && id >= 0 && id < maxPieces

export function addedTokens(list: unknown, vocab: Vocab, source: string): readonly AddedToken[] {
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

export function piecesOf(
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

// ---- Merges -------------------------------------------------------------------------------------

export function mergesOf(given: unknown, ids: Vocab, source: string): Merges {
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

// ---- Steps ---------------------------------------------------------------------------------------

/** Steps of a Sequence, or the one step itself. */
export const stepsOf = (value: unknown, key: string): unknown[] => {
  if (value === null) return []
  const isSequence = isObject(value) && value.type === "Sequence"
  const list = isSequence ? value[key] : undefined
  return Array.isArray(list) ? list : [value]
}

export const isStep = (step: unknown, type: string, fields: Json = {}): step is Json =>
  isObject(step) &&
  step.type === type &&
  Object.entries(fields).every(
    ([key, value]) => JSON.stringify(step[key]) === JSON.stringify(value),
  )

// ---- Errors -------------------------------------------------------------------------------------

export const unsupported = (
  source: string,
  what: string,
  got: unknown,
  expected: string,
): RangeError =>
  new RangeError(
    `${source} is not supported: ${what} is ${show(got)}, expected ${expected}. ` +
      "Use a tokenizer of the Llama, GPT-2 or GPT-NeoX family",
  )

export const malformed = (
  source: string,
  what: string,
  got: unknown,
  expected: string,
): SyntaxError =>
  new SyntaxError(`${source}: ${what} is ${show(got)}, expected ${expected}. Download it again`)
