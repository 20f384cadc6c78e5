// Ids of words that were merged before: a text says most of its words again and again.

/** Words remembered at most, and their longest length in UTF-16 units. */
const cacheSize = 1 << 16
const longestCached = 32

/** The same function, which computes a short word once. Its ids are not to be written to. */
export function remembered(encode: (word: string) => Int32Array): (word: string) => Int32Array {
  const known = new Map<string, Int32Array>()
  return (word) => {
    if (word.length > longestCached) return encode(word)
    const found = known.get(word)
    if (found) return found
    const ids = encode(word).slice()
    if (known.size === cacheSize) known.clear()
    known.set(ownCopy(word), ids)
    return ids
  }
}

/** The same text with memory of its own: a slice would keep the whole text that it is of. */
export function ownCopy(word: string): string {
  const units = new Array<number>(word.length)
  for (let i = 0; i < word.length; i++) units[i] = word.charCodeAt(i)
  return String.fromCharCode(...units)
}
