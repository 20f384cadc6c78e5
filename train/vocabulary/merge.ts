// All words of a text in one row of symbols, where the most frequent pair is merged again and again.
// Which pair that is, the queue knows; here counts follow each merge.
import { candidateQueue, type PieceCandidate } from "./queue.ts"

export interface Word {
  readonly text: string
  readonly count: number
}

interface MergeRow {
  /** Text of each symbol: characters first, then pieces as they are made. */
  readonly texts: readonly string[]
  /** Merges the best pair everywhere. Returns the new piece, "" where the merge makes a piece of
   *  before, undefined where no pair is left. */
  mergeBest(): string | undefined
  /** Tokens that the words take now; characters without a symbol take their bytes. */
  tokens(): number
}

const noSymbol = -1
const nothing = -1

/** Symbols of the words one after another, linked within each word. */
interface SymbolRow {
  readonly symbols: Int32Array
  readonly previous: Int32Array
  readonly next: Int32Array
  /** How often the word occurs that a symbol is of. */
  readonly counts: Float64Array
  /** Bytes of characters without a symbol, in all words. */
  readonly strayBytes: number
}

export function mergeRow(
  words: readonly Word[],
  characters: readonly string[],
  maxPieceLength: number,
): MergeRow {
  const row = rowOf(words, characters)
  const { symbols, next, counts } = row
  const texts = [...characters]
  const queue = candidateQueue(texts, maxPieceLength)
  const pairAt = (i: number): PieceCandidate | undefined => {
    const j = i === nothing ? nothing : (next[i] as number)
    if (j === nothing) return undefined
    const left = symbols[i] as number
    const right = symbols[j] as number
    return left === noSymbol || right === noSymbol ? undefined : queue.of(left, right)
  }
  const add = (i: number): void => {
    const candidate = pairAt(i)
    if (candidate) queue.add(candidate, i, counts[i] as number)
  }
  const remove = (i: number): void => {
    const candidate = pairAt(i)
    if (candidate) candidate.count -= counts[i] as number
  }
  for (let i = 0; i < symbols.length; i++) add(i)

  const mergeBest = (): string | undefined => {
    const best = queue.pop()
    if (!best) return undefined
    // A pair that makes a piece of before is merged into it at once, as encoding does.
    const isNew = best.symbol === noSymbol
    if (isNew) best.symbol = texts.push(best.text) - 1
    for (const i of queue.takePositions(best)) {
      if (pairAt(i) === best) mergeAt(row, i, best.symbol, remove, add)
    }
    return isNew ? best.text : ""
  }
  return { texts, mergeBest, tokens: () => tokensOf(row) }
}

/** Merges the symbol at `i` with the next, and has the pairs around them counted again. */
function mergeAt(
  { symbols, previous, next }: SymbolRow,
  i: number,
  symbol: number,
  remove: (i: number) => void,
  add: (i: number) => void,
): void {
  const j = next[i] as number
  const after = next[j] as number
  const before = previous[i] as number
  remove(before)
  remove(i)
  remove(j)
  symbols[i] = symbol
  symbols[j] = noSymbol
  next[i] = after
  next[j] = nothing
  if (after !== nothing) previous[after] = i
  add(before)
  add(i)
}

function rowOf(words: readonly Word[], characters: readonly string[]): SymbolRow {
  const ids = new Map(characters.map((character, id) => [character, id]))
  const length = words.reduce((sum, { text }) => sum + [...text].length, 0)
  const symbols = new Int32Array(length)
  const previous = new Int32Array(length)
  const next = new Int32Array(length)
  const counts = new Float64Array(length)
  const utf8 = new TextEncoder()
  let strayBytes = 0
  let at = 0
  for (const { text, count } of words) {
    const start = at
    for (const character of text) {
      const id = ids.get(character)
      if (id === undefined) strayBytes += utf8.encode(character).length * count
      symbols[at] = id ?? noSymbol
      previous[at] = at === start ? nothing : at - 1
      next[at] = at + 1
      counts[at] = count
      at++
    }
    if (at > start) next[at - 1] = nothing
  }
  return { symbols, previous, next, counts, strayBytes }
}

function tokensOf({ symbols, counts, strayBytes }: SymbolRow): number {
  let sum = strayBytes
  for (const [i, symbol] of symbols.entries()) if (symbol !== noSymbol) sum += counts[i] as number
  return sum
}
