// Cuts text where no merge can cross: between two characters that no symbol holds side by side.
// Merging the parts one by one is then exactly merging the whole, and parts can be remembered.
import { space, type Vocabulary } from "./vocabulary.ts"

/** Whether some symbol holds the two UTF-16 units side by side; a space counts as ▁. */
type Joins = (left: number, right: number) => boolean

const spaceUnit = space.charCodeAt(0)

export function joinsOf({ symbols, settings }: Vocabulary): Joins {
  const ascii = new Uint8Array(128 * 128)
  const wide = new Set<number>()
  for (const [left, right] of pairsOf(symbols)) {
    if (settings.splitSpaces && right === spaceUnit) continue
    const a = folded(left)
    const b = folded(right)
    if (a < 128 && b < 128) ascii[a * 128 + b] = 1
    else wide.add(a * 65536 + b)
  }
  return (left, right) => {
    if (left < 128 && right < 128) return ascii[left * 128 + right] === 1
    // Never between the two halves of one character.
    if (right >= 0xdc00 && right <= 0xdfff) return true
    return wide.has(folded(left) * 65536 + folded(right)) || asciiJoins(left, right)
  }

  /** A literal ▁ in the text stands for a space here. */
  function asciiJoins(left: number, right: number): boolean {
    const a = folded(left)
    const b = folded(right)
    return a < 128 && b < 128 && ascii[a * 128 + b] === 1
  }
}

const folded = (unit: number): number => (unit === spaceUnit ? 32 : unit)

function* pairsOf(symbols: readonly string[]): Generator<[number, number]> {
  for (const text of symbols) {
    for (let i = 1; i < text.length; i++) yield [text.charCodeAt(i - 1), text.charCodeAt(i)]
  }
}
