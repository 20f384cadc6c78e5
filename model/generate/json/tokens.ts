// Which tokens may come next, of a vocabulary: its tokens as bytes, in order, so that those that begin alike
// are looked at together.
import type { Tokenizer } from "../../tokenizer/index.ts"
import { advance, type Place } from "./frame.ts"
import { longestToken } from "./texts.ts"

/** Tokens that have bytes, in the order of these. */
interface TokenTable {
  readonly ids: Int32Array
  readonly bytes: readonly Uint8Array[]
}

const tables = new WeakMap<Tokenizer, TokenTable>()

/** Of a tokenizer, made once. Throws RangeError where it lacks a token that JSON needs. */
export function tokenTable(tokenizer: Tokenizer, name: string): TokenTable {
  const known = tables.get(tokenizer)
  if (known) return known
  const all = Array.from({ length: tokenizer.vocabSize }, (_, id) => ({
    id,
    bytes: tokenizer.bytesOf(id),
  }))
  const found = all.filter(({ bytes }) => bytes.length > 0 && bytes.length <= longestToken)
  const single = new Set(found.flatMap(({ bytes }) => (bytes.length === 1 ? bytes[0] : [])))
  for (let byte = 0x20; byte < 0x7f; byte++) {
    if (single.has(byte)) continue
    const character = JSON.stringify(String.fromCharCode(byte))
    throw new RangeError(
      `${name}: the tokenizer has no token of ${character} alone, which JSON needs`,
    )
  }
  // Without single bytes of characters, one that a token begins might have no end.
  const isSplit = Array.from({ length: 64 }, (_, i) => 0x80 + i).every((byte) => single.has(byte))
  const usable = found.filter(({ bytes }) => isSplit || isWholeText(bytes))
  usable.sort((a, b) => compare(a.bytes, b.bytes))
  const table = {
    ids: Int32Array.from(usable, ({ id }) => id),
    bytes: usable.map(({ bytes }) => bytes),
  }
  tables.set(tokenizer, table)
  return table
}

function isWholeText(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    return true
  } catch {
    return false
  }
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const order = (a[i] as number) - (b[i] as number)
    if (order !== 0) return order
  }
  return a.length - b.length
}

/** Ids of the tokens all of whose bytes may come. */
export function allowedTokens({ ids, bytes }: TokenTable, places: readonly Place[]): Int32Array {
  const found: number[] = []
  const visit = (from: number, to: number, depth: number, at: readonly Place[]): void => {
    let i = from
    for (; i < to && (bytes[i] as Uint8Array).length === depth; i++) found.push(ids[i] as number)
    while (i < to) {
      const byte = (bytes[i] as Uint8Array)[depth] as number
      const first = i
      while (i < to && (bytes[i] as Uint8Array)[depth] === byte) i++
      const next = advance(at, byte)
      if (next.length > 0) visit(first, i, depth + 1, next)
    }
  }
  visit(0, ids.length, 0, places)
  return Int32Array.from(found)
}
