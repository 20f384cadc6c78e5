// What two symbols side by side become, the lookup of the inner loop of merging: by a list of merges,
// or by the text that the two have together.

export interface PairTable {
  /** Index of the pair, -1 where the two do not merge. */
  find(left: number, right: number): number
  /** Merges of a lower rank come first; of equal ranks the leftmost. */
  readonly ranks: Int32Array
  /** The symbol that the pair becomes. */
  readonly merged: Int32Array
}

/** One merge of a list: two symbols side by side become one. The place in the list is its rank. */
export interface Merge {
  readonly left: number
  readonly right: number
  readonly merged: number
}

/** Of equal pairs the last counts. */
export function listedPairs(merges: readonly Merge[]): PairTable {
  const known = pairMap(merges.length)
  for (const [i, { left, right }] of merges.entries()) known.set(left, right, i)
  return {
    find: (left, right) => known.get(left, right) ?? -1,
    ranks: Int32Array.from(merges.keys()),
    merged: Int32Array.from(merges, ({ merged }) => merged),
  }
}

/** Longest piece of which all pairs are listed. */
const longestListed = 32
/** Longer pairs that are remembered at most. */
const mostKnown = 1 << 20

/**
 * Two symbols merge where their texts together are a piece. Pairs that make a short piece are listed;
 * others are looked up when they are first met: a vocabulary may hold far more of those than any
 * text, as many as the square of its longest piece. `symbols` gives the symbol of a text, `pieces`
 * those that pairs may become, `ranks` the rank of each.
 */
export function spelledPairs(
  symbols: ReadonlyMap<string, number>,
  pieces: ReadonlyMap<string, number>,
  ranks: Int32Array,
): PairTable {
  const listed = shortPairs(symbols, pieces)
  const texts: string[] = []
  for (const [text, symbol] of symbols) texts[symbol] = text
  const lengths = Int32Array.from(texts, (text) => text?.length ?? 0)
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0)
  let met = pairMap(16)
  const find = (left: number, right: number): number => {
    const found = listed.get(left, right)
    if (found !== undefined) return found
    const a = lengths[left] ?? 0
    const b = lengths[right] ?? 0
    if (a + b <= longestListed || a === 0 || b === 0 || a + b > longest) return -1
    const known = met.get(left, right)
    if (known !== undefined) return known
    if (met.size() === mostKnown) met = pairMap(16)
    const merged = pieces.get(`${texts[left]}${texts[right]}`) ?? -1
    met.set(left, right, merged)
    return merged
  }
  return { find, ranks, merged: Int32Array.from(ranks.keys()) }
}

/** What all pairs become whose text together is a short piece. */
function shortPairs(symbols: ReadonlyMap<string, number>, pieces: ReadonlyMap<string, number>) {
  const pairs = pairMap(2 * pieces.size)
  for (const [text, merged] of pieces) {
    if (text.length > longestListed) continue
    for (let cut = 1; cut < text.length; cut++) {
      const left = symbols.get(text.slice(0, cut))
      const right = left === undefined ? undefined : symbols.get(text.slice(cut))
      if (left !== undefined && right !== undefined) pairs.set(left, right, merged)
    }
  }
  return pairs
}

/** A map from pairs, by open addressing over typed arrays that are at most half full. */
export function pairMap(expected: number) {
  let mask = 0
  let used = 0
  /** Left, right and value of each slot, side by side. */
  let slots = new Int32Array()
  const slotOf = (left: number, right: number): number => {
    const mixed = Math.imul(left ^ Math.imul(right, 0x9e3779b1), 0x85ebca6b)
    let slot = (mixed ^ (mixed >>> 15)) & mask
    for (; ; slot = (slot + 1) & mask) {
      const at = 3 * slot
      if (slots[at + 2] === free || (slots[at] === left && slots[at + 1] === right)) return at
    }
  }
  const put = (left: number, right: number, value: number): void => {
    const at = slotOf(left, right)
    if (slots[at + 2] === free) used++
    slots[at] = left
    slots[at + 1] = right
    slots[at + 2] = value
  }
  const grow = (count: number): void => {
    const old = slots
    const size = 2 ** Math.max(4, Math.ceil(Math.log2(2 * count + 1)))
    mask = size - 1
    used = 0
    slots = new Int32Array(3 * size).fill(free)
    for (let at = 0; at < old.length; at += 3) {
      if (old[at + 2] !== free) put(old[at] as number, old[at + 1] as number, old[at + 2] as number)
    }
  }
  grow(expected)
  return {
    size: () => used,
    get(left: number, right: number): number | undefined {
      const value = slots[slotOf(left, right) + 2] as number
      return value === free ? undefined : value
    },
    set(left: number, right: number, value: number): void {
      if (2 * (used + 1) > mask) grow(2 * used + 1)
      put(left, right, value)
    },
  }
}

/** The value of a slot without a pair. */
const free = -(2 ** 31)
