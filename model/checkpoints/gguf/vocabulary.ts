// The tokenizer that a GGUF file carries: SentencePiece's pieces, as a tokenizer.model, or a byte-level one
// (byte_level.ts).
import { show } from "../../json.ts"
import { parseTokenizer, type Tokenizer } from "../../tokenizer/index.ts"
import { parseSentencePiece, piecesIn } from "../../tokenizer/sentencepiece.ts"
import type { PieceKind } from "../../tokenizer/vocabulary.ts"
import { piecesBytes, type WrittenPiece } from "../../tokenizer/write.ts"
import { byteLevelOf, byteVocabularyOf } from "./byte_level.ts"
import type { Typed } from "./encode.ts"
import type { Metadata } from "./header.ts"
import { listIn, rowsOf } from "./lists.ts"

const unused = 5

/** Kinds of pieces by their number; unused ones, which no text makes, have none. */
const tokenKinds: Readonly<Record<number, PieceKind>> = {
  1: "normal",
  2: "unknown",
  3: "control",
  4: "user",
  6: "byte",
}

/** The tokenizer of a file; undefined where it has none. Throws RangeError for one of another kind. */
export function tokenizerOf(metadata: Metadata, source: string): Tokenizer | undefined {
  const model = metadata.get("tokenizer.ggml.model")
  if (model === undefined || model === "none" || model === "no_vocab") return undefined
  if (model === "gpt2") return byteLevelOf(metadata, source)
  if (model !== "llama") {
    throw new RangeError(
      `${source}: tokenizer.ggml.model is ${show(model)}, expected "llama" or "gpt2". ` +
        "Give another tokenizer",
    )
  }
  const pieces = piecesOf(metadata, source)
  const id = (name: string): number => {
    const value = metadata.get(`tokenizer.ggml.${name}_token_id`) ?? -1
    return typeof value === "number" && value < pieces.length ? value : -1
  }
  const bytes = piecesBytes(pieces, {
    characterCoverage: 1,
    maxPieceLength: 16,
    ids: {
      unknown: pieces.findIndex(({ kind }) => kind === "unknown"),
      bos: id("bos"),
      eos: id("eos"),
      pad: -1,
    },
    byteFallback: pieces.some(({ kind }) => kind === "byte"),
    prefix: metadata.get("tokenizer.ggml.add_space_prefix") !== false,
  })
  const tokenizer = parseTokenizer(bytes, `${source}: its tokenizer`)
  const isBare = metadata.get("tokenizer.ggml.add_bos_token") === false
  return isBare ? { ...tokenizer, bosId: -1 } : tokenizer
}

/** The pieces without the unused ones at the end, which only fill the rows of the embedding. */
function piecesOf(metadata: Metadata, source: string): WrittenPiece[] {
  const { texts, types } = rowsOf(metadata, source, unused)
  const scores = listIn(metadata, source, "scores", "number")
  const all = listIn(metadata, source, "tokens", "string").length
  if (scores.length !== all) {
    throw new RangeError(`${source}: it has ${all} tokens and ${scores.length} scores`)
  }
  return texts.map((text, i) => {
    const kind = types[i] === unused ? "control" : tokenKinds[types[i] as number]
    if (kind) return { text, score: scores[i] as number, kind }
    throw new RangeError(`${source}: token ${show(text)} is of the type ${show(types[i])}`)
  })
}

/** The metadata of a tokenizer, filled up with unused pieces to the rows of the embedding. Throws
 *  RangeError for one that is neither SentencePiece's nor byte-level. */
export function vocabularyOf(tokenizer: Tokenizer, rows: number): Record<string, Typed> {
  const { file, bosId, eosId, vocabSize } = tokenizer
  const bytes = byteVocabularyOf(tokenizer, rows)
  if (!bytes && file.name !== "tokenizer.model") {
    throw new RangeError(
      "GGUF takes the tokenizer.model of SentencePiece or a byte-level tokenizer.json, the model's " +
        `tokenizer is a ${file.name} of another kind. Give one with --tokenizer, or leave it out with ` +
        "--no-tokenizer",
    )
  }
  if (vocabSize > rows) {
    throw new RangeError(`the tokenizer has ${vocabSize} pieces, the embedding ${rows} rows`)
  }
  if (bytes) return bytes
  const pieces = piecesIn(file.bytes, file.name)
  const { settings } = parseSentencePiece(file.bytes, file.name)
  const numbers = new Map(Object.entries(tokenKinds).map(([n, kind]) => [kind, Number(n)]))
  const pads = Array.from({ length: rows - pieces.length }, (_, i) => `[PAD${pieces.length + i}]`)
  return {
    "tokenizer.ggml.model": { text: "llama" },
    "tokenizer.ggml.pre": { text: "default" },
    "tokenizer.ggml.tokens": { texts: [...pieces.map(({ text }) => text), ...pads] },
    "tokenizer.ggml.scores": {
      f32s: [...pieces.map(({ score }) => score), ...pads.map(() => -1e4)],
    },
    "tokenizer.ggml.token_type": {
      i32s: [...pieces.map(({ kind }) => numbers.get(kind) as number), ...pads.map(() => unused)],
    },
    ...(bosId >= 0
      ? { "tokenizer.ggml.bos_token_id": { u32: bosId } }
      : { "tokenizer.ggml.add_bos_token": { bool: false } }),
    ...(eosId >= 0 && { "tokenizer.ggml.eos_token_id": { u32: eosId } }),
    ...(!settings.prefix && { "tokenizer.ggml.add_space_prefix": { bool: false } }),
  }
}
