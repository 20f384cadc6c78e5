// Tokenizers for the tests: files made here, the Llama-2 vocabulary as llama-tokenizer-js holds it,
// and byte-pair merging as its definition says, on the whole text at once.
import llama from "llama-tokenizer-js"
import { threefry } from "../engine/index.ts"
import { parseTokenizer } from "../model/index.ts"
import { bytesField, floatField, joined, varintField } from "../model/protobuf.ts"
import {
  normalizerFields,
  pieceFields,
  pieceKinds,
  trainerFields,
} from "../model/tokenizer/sentencepiece.ts"
import { bytePiece, type PieceKind } from "../model/tokenizer/vocabulary.ts"

/** Whole numbers below a bound, from a seed. */
export function randomOf(seed: number): (below: number) => number {
  let n = 0
  return (below) => Math.floor((threefry(seed, 0, n++, 0)[0] / 2 ** 32) * below)
}

export interface ScoredPiece {
  readonly text: string
  readonly score: number
  readonly kind?: PieceKind
}

/** unk, <s>, </s>, the bytes, then these. */
export const withSpecials = (pieces: readonly ScoredPiece[]): ScoredPiece[] => [
  { text: "<unk>", score: 0, kind: "unknown" },
  { text: "<s>", score: 0, kind: "control" },
  { text: "</s>", score: 0, kind: "control" },
  ...Array.from({ length: 256 }, (_, byte) => ({
    text: bytePiece(byte),
    score: 0,
    kind: "byte" as const,
  })),
  ...pieces,
]

/** The bytes of a tokenizer.model; settings by field number, over Llama's. */
export function modelBytes(
  pieces: readonly ScoredPiece[],
  trainer: Readonly<Record<number, number>> = {},
  normalizer: Readonly<Record<number, number>> = {},
): Uint8Array {
  const numbers = (fields: Readonly<Record<number, number>>): Uint8Array[] =>
    Object.entries(fields).map(([field, value]) => varintField(Number(field), value))
  const { modelType, byteFallback } = trainerFields
  const { removeExtraWhitespaces } = normalizerFields
  return joined([
    ...pieces.map(({ text, score, kind = "normal" }) =>
      bytesField(1, [
        bytesField(pieceFields.text, text),
        floatField(pieceFields.score, score),
        varintField(pieceFields.kind, pieceKinds[kind]),
      ]),
    ),
    bytesField(2, numbers({ [modelType]: 2, [byteFallback]: 1, ...trainer })),
    bytesField(3, numbers({ [removeExtraWhitespaces]: 0, ...normalizer })),
  ])
}

/** A tokenizer.json of Llama's form, with `more` in place of some of it. */
export const jsonBytes = (
  vocab: readonly string[],
  merges: readonly string[],
  more: object = {},
  model: object = {},
): Uint8Array =>
  new TextEncoder().encode(
    JSON.stringify({
      version: "1.0",
      added_tokens: ["<unk>", "<s>", "</s>"].map((content, id) => ({ id, content, special: true })),
      normalizer: {
        type: "Sequence",
        normalizers: [
          { type: "Prepend", prepend: "▁" },
          { type: "Replace", pattern: { String: " " }, content: "▁" },
        ],
      },
      pre_tokenizer: null,
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: "▁" }, content: " " },
          { type: "ByteFallback" },
          { type: "Fuse" },
          { type: "Strip", content: " ", start: 1, stop: 0 },
        ],
      },
      ...more,
      model: {
        type: "BPE",
        unk_token: "<unk>",
        fuse_unk: true,
        byte_fallback: true,
        vocab: Object.fromEntries(vocab.map((text, id) => [text, id])),
        merges,
        ...model,
      },
    }),
  )

export { llama }

/** The Llama-2 tokenizer in both formats. Its runs of spaces share one score. */
export function llamaTokenizers() {
  const vocab = llama.vocabById
  const pieces = vocab.slice(259).map((text, i) => ({ text, score: /^▁▁/.test(text) ? -1e9 : -i }))
  return {
    model: parseTokenizer(modelBytes(withSpecials(pieces)), "llama.model"),
    json: parseTokenizer(jsonBytes(vocab, [...llama.merges.keys()]), "llama.json"),
  }
}

/** Ids by the definition: again and again the pair whose piece has the best score, leftmost. */
export function naiveIds(text: string, pieces: readonly ScoredPiece[]): number[] {
  const ids = new Map(pieces.map(({ text }, id) => [text, id]))
  const isNormal = (text: string): boolean => /^(?!<0x|<unk>|<s>|<\/s>)/.test(text)
  const scoreOf = (text: string): number =>
    isNormal(text) ? (pieces[ids.get(text) ?? -1]?.score ?? -Infinity) : -Infinity
  const symbols = text === "" ? [] : [...`▁${text.replaceAll(" ", "▁")}`]
  for (;;) {
    let best = -1
    let bestScore = -Infinity
    for (let i = 0; i + 1 < symbols.length; i++) {
      const score = scoreOf(`${symbols[i]}${symbols[i + 1]}`)
      if (score > bestScore) [best, bestScore] = [i, score]
    }
    if (best < 0) break
    symbols.splice(best, 2, `${symbols[best]}${symbols[best + 1]}`)
  }
  return symbols.flatMap((symbol) => {
    const id = ids.get(symbol)
    if (id !== undefined) return [id]
    return Array.from(
      new TextEncoder().encode(symbol),
      (byte) => ids.get(bytePiece(byte)) as number,
    )
  })
}
