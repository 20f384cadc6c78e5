// Learns a byte-pair vocabulary: again and again the pair that occurs most becomes a piece. Counts
// change only where a merge changes words, so each piece costs what its own occurrences cost.
import { checkWhole } from "../../engine/index.ts"
import { space } from "../../model/tokenizer/vocabulary.ts"
import { reservedPieces, sentencePieceBytes } from "../../model/tokenizer/write.ts"
import { mergeRow, type Word } from "./merge.ts"
import type { WordCounts } from "./words.ts"

interface VocabularyOptions {
  /** Pieces in all: learned ones, characters, 256 bytes and 3 special ones. */
  readonly vocabSize: number
  /** The part of all characters that have a piece; the others become bytes. Default 0.9995. */
  readonly characterCoverage?: number
  /** Most characters of a piece; default 16. */
  readonly maxPieceLength?: number
  readonly onProgress?: (fraction: number) => void
}

interface LearnedVocabulary {
  /** Pieces that merge, the first one first, then characters, the most frequent first. */
  readonly pieces: readonly string[]
  /** The bytes of a tokenizer.model that SentencePiece reads too. */
  readonly model: Uint8Array
  /** Tokens that the counted words take with it. */
  readonly tokens: number
}

/**
 * Learns a vocabulary from counted words, the same for the same counts. Ties go to the shorter
 * piece, then to the first by characters. Throws RangeError where the words have too few pieces.
 */
export function learnVocabulary(counts: WordCounts, options: VocabularyOptions): LearnedVocabulary {
  const { vocabSize, characterCoverage = 0.9995, maxPieceLength = 16, onProgress } = options
  checkOptions(vocabSize, characterCoverage, maxPieceLength)
  const words = [...counts].map(([text, count]) => ({ text: text.replaceAll(" ", space), count }))
  // In an order that the order of the texts does not change.
  words.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0))
  const characters = coveredCharacters(words, characterCoverage)
  const room = vocabSize - reservedPieces - characters.length
  if (room < 0) {
    throw new RangeError(
      `the text has ${characters.length} characters, which with ${reservedPieces} special pieces ` +
        `exceed a vocabulary of ${vocabSize}. Ask for more pieces, or cover fewer characters`,
    )
  }
  const row = mergeRow(words, characters, maxPieceLength)
  const merged: string[] = []
  while (merged.length < room) {
    const text = row.mergeBest()
    if (text === undefined) throw tooFew(reservedPieces + row.texts.length, vocabSize)
    if (text === "") continue
    merged.push(text)
    onProgress?.(merged.length / room)
  }
  const pieces = [...merged, ...characters]
  const model = sentencePieceBytes(pieces, { characterCoverage, maxPieceLength })
  return { pieces, model, tokens: row.tokens() }
}

function checkOptions(vocabSize: number, coverage: number, maxPieceLength: number): void {
  checkWhole("vocabSize", vocabSize, reservedPieces + 1, 1 << 20)
  checkWhole("maxPieceLength", maxPieceLength, 1, 512)
  if (coverage > 0 && coverage <= 1) return
  throw new RangeError(`characterCoverage must be more than 0 and at most 1, got ${coverage}`)
}

const tooFew = (most: number, vocabSize: number): RangeError =>
  new RangeError(
    `the text has only ${most} pieces, of ${vocabSize} asked for. Give more text, or a smaller size`,
  )

// ---- Characters ---------------------------------------------------------------------------------

/** Line breaks, other controls and damaged text stay bytes. */
const isCoverable = (character: string): boolean => !/[\p{Cc}\p{Cs}\p{Cn}\ufffd]/u.test(character)

/** The most frequent characters that together are `coverage` of all, the most frequent first. */
function coveredCharacters(words: readonly Word[], coverage: number): string[] {
  const counts = new Map<string, number>()
  let total = 0
  for (const { text, count } of words) {
    for (const character of text) {
      if (!isCoverable(character)) continue
      counts.set(character, (counts.get(character) ?? 0) + count)
      total += count
    }
  }
  const sorted = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
  let sum = 0
  const wanted = sorted.findIndex(([, count]) => {
    sum += count
    return sum >= coverage * total
  })
  return sorted.slice(0, wanted + 1).map(([character]) => character)
}
