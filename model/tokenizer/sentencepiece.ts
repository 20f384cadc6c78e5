// SentencePiece BPE models (tokenizer.model): a protocol buffer of pieces with scores and of the
// settings that text is prepared with. What this engine cannot apply exactly is refused.
import { show } from "../json.ts"
import { fields, type MessageField } from "../protobuf.ts"
import { checkedLength, usersPiece } from "./added.ts"
import { type Message, message } from "./message.ts"
import { spelledPairs } from "./pairs.ts"
import {
  byteOf,
  bytePiece,
  type Merges,
  maxPieces,
  type Piece,
  type PieceKind,
  type Vocabulary,
} from "./vocabulary.ts"

/** Field numbers of sentencepiece_model.proto. */
export const modelFields = { pieces: 1, trainer: 2, normalizer: 3, denormalizer: 5 } as const
export const pieceFields = { text: 1, score: 2, kind: 3 } as const
export const trainerFields = {
  modelType: 3,
  vocabSize: 4,
  characterCoverage: 10,
  maxPieceLength: 20,
  whitespaceAsSuffix: 24,
  splitDigits: 25,
  whitespaceOnlyPieces: 26,
  byteFallback: 35,
  unknownId: 40,
  bosId: 41,
  eosId: 42,
  padId: 43,
  unknownText: 44,
  bosPiece: 46,
  eosPiece: 47,
  padPiece: 48,
} as const
export const normalizerFields = {
  name: 1,
  charsmap: 2,
  dummyPrefix: 3,
  removeExtraWhitespaces: 4,
  escapeWhitespaces: 5,
} as const

export const modelTypes = { unigram: 1, bpe: 2, word: 3, char: 4 } as const
/** Number → kind; 5 marks a piece as unused, which no released model does. */
export const pieceKinds = {
  normal: 1,
  unknown: 2,
  control: 3,
  user: 4,
  byte: 6,
} as const satisfies Record<PieceKind, number>

/** Longest piece in UTF-16 units, as SentencePiece limits it in bytes. */
const maxPieceLength = 8000

interface ScoredPiece extends Piece {
  readonly score: number
}

/**
 * Reads a SentencePiece model. Throws SyntaxError for bytes that are none, and RangeError for
 * settings that are not supported (unigram models, text normalization).
 */
export function parseSentencePiece(bytes: Uint8Array, source: string): Vocabulary {
  const pieces: ScoredPiece[] = []
  let trainer = message(undefined, source)
  let normalizer = message(undefined, source)
  for (const { number, value } of fields(bytes, source)) {
    if (number === modelFields.pieces) pieces.push(parsePiece(value, pieces.length, source))
    if (number === modelFields.trainer) trainer = message(value, source)
    if (number === modelFields.normalizer) normalizer = message(value, source)
    if (number === modelFields.denormalizer) {
      const denormalizer = message(value, source)
      if (denormalizer.holds(normalizerFields.charsmap)) {
        throw unsupported(source, "it changes text after decoding")
      }
    }
  }
  if (pieces.length === 0) throw new SyntaxError(`${source} holds no pieces. Download it again`)
  checkTrainer(trainer, source)
  checkNormalizer(normalizer, source)
  const byteFallback = trainer.flag(trainerFields.byteFallback, false)
  checkPieces(pieces, byteFallback, source)
  const control = (field: number, text: string): number => {
    const name = trainer.text(field, "") || text
    return pieces.findIndex((piece) => piece.kind === "control" && piece.text === name)
  }
  const padId = control(trainerFields.padPiece, "<pad>")
  const byteIds = new Map(pieces.map(({ text, kind }, id) => [kind === "byte" ? text : "", id]))
  return {
    source,
    pieces,
    symbols: pieces.flatMap(({ text, kind }) => (kind === "normal" ? [text] : [])),
    added: checkedLength(
      pieces.flatMap(({ text, kind }, id) => (kind === "user" ? [usersPiece(text, id)] : [])),
      source,
    ),
    byteIds: Array.from({ length: byteFallback ? 256 : 0 }, (_, byte) => {
      return byteIds.get(bytePiece(byte)) as number
    }),
    settings: settingsOf(trainer, normalizer, byteFallback),
    unknownId: pieces.findIndex(({ kind }) => kind === "unknown"),
    bosId: control(trainerFields.bosPiece, "<s>"),
    eosId: control(trainerFields.eosPiece, "</s>"),
    padId: padId < 0 ? pieces.length : padId,
    merges: () => mergesOf(pieces),
  }
}

/** The pieces of a model by their ids, with their scores. */
export function piecesIn(bytes: Uint8Array, source: string): readonly ScoredPiece[] {
  const pieces: ScoredPiece[] = []
  for (const { number, value } of fields(bytes, source)) {
    if (number === modelFields.pieces) pieces.push(parsePiece(value, pieces.length, source))
  }
  return pieces
}

function settingsOf(trainer: Message, normalizer: Message, byteFallback: boolean) {
  const prefix = normalizer.flag(normalizerFields.dummyPrefix, true)
  const collapse = normalizer.flag(normalizerFields.removeExtraWhitespaces, true)
  return {
    prefix,
    escapes: true,
    normalizesAdded: false,
    wordPrefix: "never",
    collapse,
    splitSpaces: false,
    byteFallback,
    fuseUnknown: true,
    unknownText: trainer.text(trainerFields.unknownText, " \u2047 "),
    stripPrefix: prefix || collapse ? "piece" : "never",
  } as const
}

// ---- Pieces -------------------------------------------------------------------------------------

function parsePiece(value: MessageField["value"], id: number, source: string): ScoredPiece {
  const fields = message(value, source)
  const text = fields.text(pieceFields.text, "")
  const number = fields.number(pieceFields.kind, pieceKinds.normal)
  const score = fields.number(pieceFields.score, 0)
  if (id >= maxPieces) {
    throw new RangeError(`${source} has more than ${maxPieces} pieces. Use a smaller vocabulary`)
  }
  const names = Object.keys(pieceKinds) as PieceKind[]
  const kind = names.find((name) => pieceKinds[name] === number)
  if (!kind) throw unsupported(source, `piece ${id}, ${show(text)}, has the type ${number}`)
  if (text === "" || text.length >= maxPieceLength || Number.isNaN(score)) {
    throw new SyntaxError(
      `${source}: piece ${id} has ${text.length} characters and the score ${score}, ` +
        `expected a number and 1 to ${maxPieceLength - 1} characters. Download it again`,
    )
  }
  return { text, score, kind }
}

function checkPieces(pieces: readonly ScoredPiece[], byteFallback: boolean, source: string): void {
  const seen = new Map<string, number>()
  const bytes = new Set<number>()
  for (const [id, { text, kind }] of pieces.entries()) {
    const other = seen.get(text)
    if (other !== undefined) {
      throw new RangeError(
        `${source}: pieces ${other} and ${id} are both ${show(text)}. Download it again`,
      )
    }
    seen.set(text, id)
    if (kind === "byte") bytes.add(byteOf(text))
  }
  const unknown = pieces.filter(({ kind }) => kind === "unknown").length
  if (unknown !== 1) {
    throw new RangeError(`${source} has ${unknown} unknown pieces, expected 1. Download it again`)
  }
  if (bytes.has(-1) || bytes.size !== (byteFallback ? 256 : 0)) {
    throw new RangeError(
      `${source} has ${bytes.size} byte pieces, expected ${byteFallback ? 256 : 0} ` +
        `from <0x00> to <0xFF>. Download it again`,
    )
  }
}

// ---- What is not supported ----------------------------------------------------------------------

function checkTrainer(trainer: Message, source: string): void {
  const type = trainer.number(trainerFields.modelType, modelTypes.unigram)
  if (type !== modelTypes.bpe) {
    const name = Object.entries(modelTypes).find(([, number]) => number === type)?.[0]
    throw unsupported(source, `it is a ${name ?? `type ${type}`} model, expected bpe`)
  }
  if (trainer.flag(trainerFields.whitespaceAsSuffix, false)) {
    throw unsupported(source, "its pieces end with their space")
  }
}

function checkNormalizer(normalizer: Message, source: string): void {
  if (normalizer.holds(normalizerFields.charsmap)) {
    const name = normalizer.text(normalizerFields.name, "")
    throw unsupported(source, `it normalizes text by ${show(name)}, expected identity`)
  }
  if (!normalizer.flag(normalizerFields.escapeWhitespaces, true)) {
    throw unsupported(source, "it keeps spaces as they are")
  }
}

const unsupported = (source: string, what: string): RangeError =>
  new RangeError(`${source} is not supported: ${what}. Use a BPE model such as Llama's`)

// ---- Merges -------------------------------------------------------------------------------------

/** Two symbols merge where their texts together are a piece; the piece's score is the rank. */
function mergesOf(pieces: readonly ScoredPiece[]): Merges {
  const ids = new Map<string, number>()
  const scores = new Set<number>()
  for (const [id, { text, kind, score }] of pieces.entries()) {
    if (kind !== "normal") continue
    ids.set(text, id)
    scores.add(score)
  }
  const ranks = new Map([...scores].sort((a, b) => b - a).map((score, rank) => [score, rank]))
  const symbols = new Map(ids)
  const extra = addCharacters(symbols, pieces)
  const rankOf = ({ score }: ScoredPiece): number => ranks.get(score) ?? 0
  const table = spelledPairs(symbols, ids, Int32Array.from(pieces, rankOf))
  const characters = new Map([...symbols].filter(([text]) => isCharacter(text)))
  return { characters, extra, table }
}

/** Adds the characters that only occur inside of longer pieces. */
function addCharacters(symbols: Map<string, number>, pieces: readonly Piece[]): string[] {
  const extra: string[] = []
  for (const { text, kind } of pieces) {
    if (kind !== "normal") continue
    for (const character of text) {
      if (symbols.has(character)) continue
      symbols.set(character, pieces.length + extra.length)
      extra.push(character)
    }
  }
  return extra
}

const isCharacter = (text: string): boolean =>
  text.length === 1 || (text.length === 2 && (text.codePointAt(0) as number) > 0xffff)
