// Writes a SentencePiece BPE model with Llama's settings, which SentencePiece and others read: text
// as it is, a space in front, no space removed, digits one by one, bytes for unknown characters.
import { bytesField, floatField, joined, varintField } from "../protobuf.ts"
import {
  modelFields,
  modelTypes,
  normalizerFields,
  pieceFields,
  pieceKinds,
  trainerFields,
} from "./sentencepiece.ts"
import { bytePiece, type PieceKind } from "./vocabulary.ts"

/** A piece as it is written; its place is its id. */
export interface WrittenPiece {
  readonly text: string
  readonly score: number
  readonly kind: PieceKind
}

interface ModelSettings {
  readonly characterCoverage: number
  readonly maxPieceLength: number
}

/** Ids of the special pieces; the bytes follow. */
const specials: Ids = { unknown: 0, bos: 1, eos: 2, pad: -1 }

/** Pieces before the first learned one. */
export const reservedPieces = 3 + 256

/** Ids of special pieces, -1 for none. */
interface Ids {
  readonly unknown: number
  readonly bos: number
  readonly eos: number
  readonly pad: number
}

/** The bytes of a tokenizer.model. The first learned piece merges first. */
export function sentencePieceBytes(
  learned: readonly string[],
  settings: ModelSettings,
): Uint8Array {
  const bytes = Array.from({ length: 256 }, (_, byte) => byteOfPiece(byte))
  const pieces: WrittenPiece[] = [
    { text: "<unk>", score: 0, kind: "unknown" },
    { text: "<s>", score: 0, kind: "control" },
    { text: "</s>", score: 0, kind: "control" },
    ...bytes,
    ...learned.map((text, i) => ({ text, score: -i, kind: "normal" as const })),
  ]
  return piecesBytes(pieces, { ...settings, ids: specials })
}

const byteOfPiece = (byte: number): WrittenPiece => ({
  text: bytePiece(byte),
  score: 0,
  kind: "byte",
})

interface PieceSettings extends ModelSettings {
  readonly ids: Ids
  /** Whether characters without a piece become bytes; default true. */
  readonly byteFallback?: boolean
  /** Whether a space is put before the text; default true. */
  readonly prefix?: boolean
}

/** The bytes of a tokenizer.model with all of these pieces. */
export function piecesBytes(
  pieces: readonly WrittenPiece[],
  { characterCoverage, maxPieceLength, ids, byteFallback = true, prefix = true }: PieceSettings,
): Uint8Array {
  const named = (field: number, id: number, usual: string): Uint8Array[] => {
    const text = pieces[id]?.text ?? usual
    return text === usual ? [] : [bytesField(field, text)]
  }
  const trainer = [
    varintField(trainerFields.modelType, modelTypes.bpe),
    varintField(trainerFields.vocabSize, pieces.length),
    floatField(trainerFields.characterCoverage, characterCoverage),
    varintField(trainerFields.maxPieceLength, maxPieceLength),
    varintField(trainerFields.splitDigits, 1),
    varintField(trainerFields.whitespaceOnlyPieces, 1),
    varintField(trainerFields.byteFallback, byteFallback ? 1 : 0),
    varintField(trainerFields.unknownId, ids.unknown),
    varintField(trainerFields.bosId, ids.bos),
    varintField(trainerFields.eosId, ids.eos),
    varintField(trainerFields.padId, ids.pad),
    ...named(trainerFields.bosPiece, ids.bos, "<s>"),
    ...named(trainerFields.eosPiece, ids.eos, "</s>"),
  ]
  const normalizer = [
    bytesField(normalizerFields.name, "identity"),
    bytesField(normalizerFields.charsmap, ""),
    varintField(normalizerFields.dummyPrefix, prefix ? 1 : 0),
    varintField(normalizerFields.removeExtraWhitespaces, 0),
    varintField(normalizerFields.escapeWhitespaces, 1),
  ]
  return joined([
    ...pieces.map((each) => bytesField(modelFields.pieces, piece(each))),
    bytesField(modelFields.trainer, trainer),
    bytesField(modelFields.normalizer, normalizer),
  ])
}

const piece = ({ text, score, kind }: WrittenPiece): Uint8Array[] => [
  bytesField(pieceFields.text, text),
  floatField(pieceFields.score, score),
  ...(kind === "normal" ? [] : [varintField(pieceFields.kind, pieceKinds[kind])]),
]
