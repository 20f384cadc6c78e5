// Writes a SentencePiece BPE model with Llama's settings, which SentencePiece and others read: text
// as it is, a space in front, no space removed, digits one by one, bytes for unknown characters.
import { bytesField, floatField, joined, varintField } from "./protobuf.ts"
import {
  modelFields,
  modelTypes,
  normalizerFields,
  pieceFields,
  pieceKinds,
  trainerFields,
} from "./sentencepiece.ts"
import { bytePiece, type PieceKind } from "./vocabulary.ts"

interface ModelSettings {
  readonly characterCoverage: number
  readonly maxPieceLength: number
}

/** Ids of the special pieces; the bytes follow. */
const specials = { unknown: 0, bos: 1, eos: 2, pad: -1 } as const

/** Pieces before the first learned one. */
export const reservedPieces = 3 + 256

/** The bytes of a tokenizer.model. The first learned piece merges first. */
export function sentencePieceBytes(
  learned: readonly string[],
  { characterCoverage, maxPieceLength }: ModelSettings,
): Uint8Array {
  const bytes = Array.from({ length: 256 }, (_, byte) => piece(bytePiece(byte), 0, "byte"))
  const pieces = [
    piece("<unk>", 0, "unknown"),
    piece("<s>", 0, "control"),
    piece("</s>", 0, "control"),
    ...bytes,
    ...learned.map((text, i) => piece(text, -i, "normal")),
  ]
  const trainer = [
    varintField(trainerFields.modelType, modelTypes.bpe),
    varintField(trainerFields.vocabSize, pieces.length),
    floatField(trainerFields.characterCoverage, characterCoverage),
    varintField(trainerFields.maxPieceLength, maxPieceLength),
    varintField(trainerFields.splitDigits, 1),
    varintField(trainerFields.whitespaceOnlyPieces, 1),
    varintField(trainerFields.byteFallback, 1),
    varintField(trainerFields.unknownId, specials.unknown),
    varintField(trainerFields.bosId, specials.bos),
    varintField(trainerFields.eosId, specials.eos),
    varintField(trainerFields.padId, specials.pad),
  ]
  const normalizer = [
    bytesField(normalizerFields.name, "identity"),
    bytesField(normalizerFields.charsmap, ""),
    varintField(normalizerFields.dummyPrefix, 1),
    varintField(normalizerFields.removeExtraWhitespaces, 0),
    varintField(normalizerFields.escapeWhitespaces, 1),
  ]
  return joined([
    ...pieces.map((fields) => bytesField(modelFields.pieces, fields)),
    bytesField(modelFields.trainer, trainer),
    bytesField(modelFields.normalizer, normalizer),
  ])
}

const piece = (text: string, score: number, kind: PieceKind): Uint8Array[] => [
  bytesField(pieceFields.text, text),
  floatField(pieceFields.score, score),
  ...(kind === "normal" ? [] : [varintField(pieceFields.kind, pieceKinds[kind])]),
]
