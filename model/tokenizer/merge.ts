// Byte-pair merging of one word: the merge of the lowest rank first, of equal ranks the leftmost.
// A heap over a linked list: n log n for n characters, no recursion.
import type { PairTable } from "./pairs.ts"

/** Merges the first `count` of `symbols` in place and returns how many are left. */
type MergeWord = (symbols: Int32Array, count: number) => number

export function mergerOf(table: PairTable): MergeWord {
  let state = stateOf(64)
  const heap = heapOf()

  /** Remembers how the symbol at `left` merges with the one after it, if it does. */
  const offer = (symbols: Int32Array, left: number): void => {
    const { next, pair } = state
    const right = next[left] as number
    const found = right < 0 ? -1 : table.find(symbols[left] as number, symbols[right] as number)
    pair[left] = found
    if (found >= 0) heap.push((table.ranks[found] as number) * positions + left)
  }

  const join = (symbols: Int32Array, left: number): void => {
    const { previous, next, pair } = state
    const right = next[left] as number
    const after = next[right] as number
    symbols[left] = table.merged[pair[left] as number] as number
    next[left] = after
    if (after >= 0) previous[after] = left
    // Dead: entries of the heap that begin there are passed over.
    pair[right] = -1
    offer(symbols, left)
    const before = previous[left] as number
    if (before >= 0) offer(symbols, before)
  }

  return (symbols, count) => {
    if (count > state.next.length) state = stateOf(2 * count)
    const { previous, next, pair } = state
    for (let i = 0; i < count; i++) {
      previous[i] = i - 1
      next[i] = i + 1 < count ? i + 1 : -1
    }
    for (let i = 0; i < count; i++) offer(symbols, i)
    for (let top = heap.pop(); top >= 0; top = heap.pop()) {
      const left = top % positions
      const found = pair[left] as number
      // An entry is stale when its symbol has merged since, unless a merge of the same rank is due.
      if (found >= 0 && table.ranks[found] === Math.floor(top / positions)) join(symbols, left)
    }
    let length = 0
    for (let i = 0; i >= 0 && count > 0; i = next[i] as number) {
      symbols[length++] = symbols[i] as number
    }
    return length
  }
}

/** Rank and position share a number that is exact in a double: 2^22 ranks, 2^31 positions. */
const positions = 2 ** 31

const stateOf = (size: number) => ({
  previous: new Int32Array(size),
  next: new Int32Array(size),
  /** The merge of a symbol with its next, -1 for none. */
  pair: new Int32Array(size),
})

/** A binary heap of numbers, the smallest on top. */
function heapOf() {
  let items = new Float64Array(256)
  let size = 0
  const push = (item: number): void => {
    if (size === items.length) {
      const grown = new Float64Array(2 * size)
      grown.set(items)
      items = grown
    }
    let i = size++
    while (i > 0) {
      const parent = (i - 1) >> 1
      const above = items[parent] as number
      if (above <= item) break
      items[i] = above
      i = parent
    }
    items[i] = item
  }
  /** The smallest, or -1 where there is none. */
  const pop = (): number => {
    if (size === 0) return -1
    const top = items[0] as number
    const last = items[--size] as number
    let i = 0
    for (let child = 1; child < size; child = 2 * i + 1) {
      if (child + 1 < size && (items[child + 1] as number) < (items[child] as number)) child++
      if ((items[child] as number) >= last) break
      items[i] = items[child] as number
      i = child
    }
    items[i] = last
    return top
  }
  return { push, pop }
}
