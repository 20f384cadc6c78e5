// The pieces that a vocabulary may get next, by the text that two neighbours make together, and a
// queue that gives the most frequent one.
import { space } from "../../model/tokenizer/vocabulary.ts"

export interface PieceCandidate {
  readonly text: string
  /** Characters. */
  readonly length: number
  /** Its symbol once it is a piece, before that -1. */
  symbol: number
  /** How often it occurs now. */
  count: number
  positions: number[]
  /** Whether its count has grown since it was put into the queue. */
  grown: boolean
}

interface CandidateQueue {
  /** What two symbols make together, undefined where that may not be a piece. */
  of(left: number, right: number): PieceCandidate | undefined
  /** Counts a place where it occurs. */
  add(candidate: PieceCandidate, position: number, count: number): void
  /** The places that were added, in order, each once at least; they count as taken. */
  takePositions(candidate: PieceCandidate): Int32Array
  /** The most frequent candidate; a piece of before comes first. */
  pop(): PieceCandidate | undefined
}

interface Entry {
  readonly candidate: PieceCandidate
  readonly count: number
}

/** Symbols below 2^26 make keys that are exact in a double. */
const symbolLimit = 2 ** 26

/** `texts` of symbols may grow; no candidate has more than `maxLength` characters. */
export function candidateQueue(texts: readonly string[], maxLength: number): CandidateQueue {
  const byPair = new Map<number, PieceCandidate | undefined>()
  const byText = new Map<string, PieceCandidate>()
  const heap = entryHeap()
  let grown: PieceCandidate[] = []

  const find = (left: number, right: number): PieceCandidate | undefined => {
    const text = `${texts[left]}${texts[right]}`
    const known = byText.get(text)
    if (known) return known
    const { length } = [...text]
    if (length > maxLength || !isPiece(text)) return undefined
    const made = { text, length, symbol: -1, count: 0, positions: [], grown: false }
    byText.set(text, made)
    return made
  }

  return {
    of(left, right) {
      const key = left * symbolLimit + right
      const known = byPair.get(key)
      if (known || byPair.has(key)) return known
      const found = find(left, right)
      byPair.set(key, found)
      return found
    },
    add(candidate, position, count) {
      candidate.count += count
      candidate.positions.push(position)
      if (candidate.grown) return
      candidate.grown = true
      grown.push(candidate)
    },
    takePositions(candidate) {
      const positions = Int32Array.from(candidate.positions).sort()
      candidate.positions = []
      return positions
    },
    pop() {
      for (const candidate of grown) {
        candidate.grown = false
        heap.push({ candidate, count: rankOf(candidate) })
      }
      grown = []
      for (let top = heap.pop(); top; top = heap.pop()) {
        const { candidate, count } = top
        if (candidate.count <= 0) continue
        if (rankOf(candidate) === count) return candidate
        // It occurs less often than when it was put there.
        heap.push({ candidate, count: rankOf(candidate) })
      }
      return undefined
    },
  }
}

const rankOf = ({ symbol, count }: PieceCandidate): number => (symbol < 0 ? count : Infinity)

/** Spaces lead a piece by one, or are all of it. */
const isPiece = (text: string): boolean => {
  const last = text.lastIndexOf(space)
  return last <= 0 || last === text.length - 1
}

/** Whether an entry comes before another: the count, then fewer characters, then the text. */
function isBefore(a: Entry, b: Entry): boolean {
  if (a.count !== b.count) return a.count > b.count
  const [x, y] = [a.candidate, b.candidate]
  return x.length !== y.length ? x.length < y.length : x.text < y.text
}

function entryHeap(): { push(entry: Entry): void; pop(): Entry | undefined } {
  const items: Entry[] = []
  const at = (i: number): Entry => items[i] as Entry
  const push = (entry: Entry): void => {
    let i = items.push(entry) - 1
    for (let up = (i - 1) >> 1; i > 0 && isBefore(entry, at(up)); up = (i - 1) >> 1) {
      items[i] = at(up)
      i = up
    }
    items[i] = entry
  }
  const pop = (): Entry | undefined => {
    const top = items[0]
    const last = items.pop()
    if (!top || !last || items.length === 0) return top
    let i = 0
    for (let child = 1; child < items.length; child = 2 * i + 1) {
      if (child + 1 < items.length && isBefore(at(child + 1), at(child))) child++
      if (!isBefore(at(child), last)) break
      items[i] = at(child)
      i = child
    }
    items[i] = last
    return top
  }
  return { push, pop }
}
