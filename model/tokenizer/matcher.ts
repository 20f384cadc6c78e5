// Finds texts in a text, the leftmost first and the longest of those that begin there, in time that
// does not depend on how many they are or how long: Aho and Corasick's automaton (1975, Communications
// of the ACM 18), run from the end, so that its state says what begins at each place.

import { pairMap } from "./pairs.ts"

/** Where one of the texts lies, and which. */
interface Match {
  readonly start: number
  readonly end: number
  readonly index: number
}

/** Most characters of all texts together: the automaton has a state for each. */
export const mostUnits = 1 << 22

/** The matches of a text in order, none overlapping another. Of equal texts the first counts. */
export type Matcher = (text: string) => Iterable<Match>

export function matcherOf(texts: readonly string[]): Matcher {
  const automaton = automatonOf(texts)
  return function* (text) {
    const found = automaton(text)
    for (let start = 0; start < text.length; start++) {
      const index = found[start] as number
      if (index < 0) continue
      const end = start + (texts[index] as string).length
      yield { start, end, index }
      start = end - 1
    }
  }
}

/** For each place of a text the index of the longest of `texts` that begins there, or -1. */
function automatonOf(texts: readonly string[]): (text: string) => Int32Array {
  const most = texts.reduce((sum, { length }) => sum + length, 1)
  /** State after a state and a unit; a state is the end of a text, read from its last unit back. */
  const next = pairMap(most)
  /** The state of the longest beginning of a state that is the end of a text too. */
  const fails = new Int32Array(most)
  /** The longest text that a state begins with, -1 for none. */
  const indices = new Int32Array(most).fill(-1)
  const step = (from: number, unit: number): number => {
    for (let state = from; ; state = fails[state] as number) {
      const found = next.get(state, unit)
      if (found !== undefined) return found
      if (state === 0) return 0
    }
  }
  const begins = new Uint8Array(65536)
  let states = 1
  let open = texts.map((text, index) => ({ text, index, state: 0 }))
  // Shorter states first: what a state falls back to is one of them.
  for (let depth = 1; open.length > 0; depth++) {
    for (const item of open) {
      const { text, index, state } = item
      const unit = text.charCodeAt(text.length - depth)
      let after = next.get(state, unit)
      if (after === undefined) {
        after = states++
        if (depth === 1) begins[unit] = 1
        else fails[after] = step(fails[state] as number, unit)
        indices[after] = indices[fails[after] as number] as number
        next.set(state, unit, after)
      }
      item.state = after
      const own = indices[after] as number
      const isLonger = own < 0 || (texts[own] as string).length < depth
      if (text.length === depth && isLonger) indices[after] = index
    }
    open = open.filter(({ text }) => text.length > depth)
  }
  return (text) => {
    const found = new Int32Array(text.length)
    let state = 0
    for (let i = text.length - 1; i >= 0; i--) {
      const unit = text.charCodeAt(i)
      state = state === 0 && begins[unit] === 0 ? 0 : step(state, unit)
      found[i] = indices[state] as number
    }
    return found
  }
}
