// Drafts from the text itself (Saxena 2023, prompt lookup decoding): what followed the last tokens where
// they stood before.

/**
 * Up to `count` tokens that followed the leftmost place where the text's last tokens stood before: as many
 * of them as are found somewhere, `longest` at most. None where nothing is found. As in transformers.
 */
export function lookedUp(
  ids: readonly number[],
  count: number,
  longest: number,
): readonly number[] {
  for (let size = Math.min(longest, ids.length - 1); size > 0; size--) {
    const from = ids.length - size
    for (let at = 0; at < from; at++) {
      let same = 0
      while (same < size && ids[at + same] === ids[from + same]) same++
      if (same === size) return ids.slice(at + size, at + size + count)
    }
  }
  return []
}
