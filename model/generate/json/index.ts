// Texts that are JSON, and that keep to a schema: before each token is chosen, those are ruled out after which
// no such text could follow. It ends where the value is whole, and not before.
import { show } from "../../json.ts"
import type { Tokenizer } from "../../tokenizer/index.ts"
import type { Change } from "../processors/processor.ts"
import { advance, isWhole, type Place } from "./frame.ts"
import { anyObject, startOf } from "./machine.ts"
import { nodeOfSchema } from "./schema.ts"
import { allowedTokens, tokenTable } from "./tokens.ts"

/** "object": any JSON object; else a JSON Schema, which the text keeps to. */
export type JsonOption = "object" | Readonly<Record<string, unknown>>

/** What places are, and which tokens may follow them; kept with a tokenizer, for whoever asks the same. */
interface Constraint {
  readonly start: readonly Place[]
  allowed(places: readonly Place[]): Int32Array
}

/** Sets of tokens that are kept, and schemas. */
const most = { sets: 512, schemas: 64 } as const
const known = new WeakMap<Tokenizer, Map<string, Constraint>>()

/** Rules out what does not keep to JSON. Throws TypeError without a tokenizer, RangeError for a schema that cannot
 *  be kept to, naming the place in it. */
export function jsonChange(
  json: JsonOption,
  tokenizer: Tokenizer | undefined,
  name: string,
): Change {
  if (json !== "object" && (typeof json !== "object" || json === null || Array.isArray(json))) {
    throw new TypeError(`${name} is ${show(json)}, expected "object" or a JSON schema`)
  }
  if (!tokenizer) throw new TypeError(`${name} needs a tokenizer, and this model has none`)
  const { start, allowed } = constraintOf(json, tokenizer, name)
  const follow = follower(start, tokenizer)
  /** Ends without a text, which would follow the value, if there are any. */
  const silent = (ends: readonly number[]): readonly number[] => {
    const isSilent = (id: number): boolean =>
      id >= tokenizer.vocabSize || tokenizer.bytesOf(id).length === 0
    const without = ends.filter(isSilent)
    return without.length > 0 ? without : ends
  }
  return (scores, { ids, promptLength, ends }) => {
    const places = follow(ids, promptLength)
    const kept = allowed(places)
    const isEnd = places.some(isWhole)
    const last = isEnd ? silent(ends) : []
    if (isEnd && kept.length + last.length === 0) {
      throw new Error(`${name}: the text is whole, and no token ends it. Give stop the id of one`)
    }
    keepOnly(scores, kept, last)
  }
}

/** Rules out all tokens but those of two lists. */
function keepOnly(scores: Float64Array, kept: Int32Array, others: readonly number[]): void {
  const before = scores.slice()
  scores.fill(Number.NEGATIVE_INFINITY)
  for (let i = 0; i < kept.length; i++) {
    const id = kept[i] as number
    scores[id] = before[id] as number
  }
  for (const id of others) scores[id] = before[id] as number
}

function constraintOf(json: JsonOption, tokenizer: Tokenizer, name: string): Constraint {
  const all = known.get(tokenizer) ?? new Map<string, Constraint>()
  known.set(tokenizer, all)
  const key = JSON.stringify(json)
  const found = all.get(key)
  if (found) return found
  const table = tokenTable(tokenizer, name)
  const node = json === "object" ? anyObject : nodeOfSchema(json, name)
  const sets = new Map<string, Int32Array>()
  const allowed = (places: readonly Place[]): Int32Array => {
    const at = places.map((place) => place.key).join("\n")
    const before = sets.get(at)
    if (before) return before
    const set = allowedTokens(table, places)
    if (sets.size >= most.sets) sets.clear()
    sets.set(at, set)
    return set
  }
  const made = { start: [startOf(node)], allowed }
  if (all.size >= most.schemas) all.clear()
  all.set(key, made)
  return made
}

/** Where a text stands after its tokens: those that it has followed before are not followed again. */
function follower(start: readonly Place[], tokenizer: Tokenizer) {
  let [seen, states]: [number[], (readonly Place[])[]] = [[], [start]]
  return (ids: readonly number[], promptLength: number): readonly Place[] => {
    const count = ids.length - promptLength
    let same = 0
    while (same < Math.min(count, seen.length) && ids[promptLength + same] === seen[same]) same++
    ;[seen, states] = [seen.slice(0, same), states.slice(0, same + 1)]
    for (let i = same; i < count; i++) {
      const id = ids[promptLength + i] as number
      let places = states[i] as readonly Place[]
      for (const byte of tokenizer.bytesOf(id)) places = advance(places, byte)
      seen.push(id)
      states.push(places)
    }
    return states[count] as readonly Place[]
  }
}
