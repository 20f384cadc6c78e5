// JSON byte by byte: frames of values, objects and arrays, as their nodes ask for.
import { bottom, type Frame, Place } from "./frame.ts"
import type { JsonNode, ObjectNode } from "./node.ts"
import { fixed, number, string, whole } from "./texts.ts"

const none: readonly Place[] = []
const code = (character: string): number => character.charCodeAt(0)
/** Of a line's indentation. */
const mostIndent = 16

/** White space so far: none, one space, or a line break and so many of its indentation. A model that is at a loss
 *  would write it without end. */
type Gap = "" | "space" | number

/** The gap with a byte more; undefined where it has no room for it. */
function widened(gap: Gap, byte: number): Gap | undefined {
  if (gap === "") return byte === 0x0a ? 0 : byte === 0x20 ? "space" : undefined
  const isIndent = byte === 0x20 || byte === 0x09
  return gap !== "space" && isIndent && gap < mostIndent ? gap + 1 : undefined
}

/** Places after a byte. */
type Take = (byte: number, below: Place) => readonly Place[]

/** A frame that takes white space before what it waits for. */
function spaced(key: string, take: Take, gap: Gap = ""): Frame {
  return {
    key: `${key}_${gap}`,
    step(byte, below) {
      const wider = widened(gap, byte)
      return wider === undefined ? take(byte, below) : [new Place(spaced(key, take, wider), below)]
    },
  }
}

const any: JsonNode = { id: -1, kind: "any" }
/** Any object. */
export const anyObject: JsonNode = { id: -2, kind: "object", properties: [], additional: any }
const anyArray = { kind: "array", items: any, min: 0, max: Number.POSITIVE_INFINITY } as const
const anyString = { id: "any", min: 0, max: Number.POSITIVE_INFINITY } as const
const words = ["true", "false", "null"].map((word) => new TextEncoder().encode(word))

/** Where a text stands that is to become a value. */
export const startOf = (node: JsonNode): Place => new Place(value(node), bottom)

const value = (node: JsonNode): Frame =>
  spaced(`v${node.id}`, (byte, below) => begin(node, byte, below))

/** Places after the first byte of what a frame takes. */
const first = (frame: Frame, byte: number, below: Place): readonly Place[] =>
  frame.step(byte, below, new Place(frame, below))

/** Places after the first byte of a value. */
function begin(node: JsonNode, byte: number, below: Place): readonly Place[] {
  switch (node.kind) {
    case "any":
      return beginAny(byte, below)
    case "literals":
      return node.texts.flatMap((text) => first(fixed(text), byte, below))
    case "string":
      return byte === code('"') ? [new Place(string(node), below)] : none
    case "number":
      return first(number, byte, below)
    case "integer":
      return first(whole(node), byte, below)
    case "array":
      return byte === code("[") ? [new Place(firstItem(node, node.id), below)] : none
    case "object":
      return byte === code("{") ? [new Place(firstKey(node, node.id), below)] : none
    case "anyOf":
      return node.options.flatMap((each) => begin(each, byte, below))
    default:
      return begin(node.target(), byte, below)
  }
}

function beginAny(byte: number, below: Place): readonly Place[] {
  if (byte === code("{")) return begin(anyObject, byte, below)
  if (byte === code("[")) return [new Place(firstItem(anyArray, any.id), below)]
  if (byte === code('"')) return [new Place(string(anyString), below)]
  const word = words.find(([letter]) => letter === byte)
  return first(word ? fixed(word) : number, byte, below)
}

// ---- Arrays -------------------------------------------------------------------------------------

type ArrayNode = Pick<Extract<JsonNode, { kind: "array" }>, "items" | "min" | "max">

const firstItem = (node: ArrayNode, id: number): Frame =>
  spaced(`[${id}`, (byte, below) => {
    if (byte === code("]")) return node.min === 0 ? [below] : none
    if (node.max < 1) return none
    return begin(node.items, byte, new Place(afterItem(node, id, 1), below))
  })

function afterItem(node: ArrayNode, id: number, count: number): Frame {
  const { items, min, max } = node
  // How many there are no longer matters beyond the least, where there is no most.
  const counted = max === Number.POSITIVE_INFINITY ? Math.min(count, min) : count
  return spaced(`]${id},${counted}`, (byte, below) => {
    if (byte === code("]")) return count >= min ? [below] : none
    if (byte !== code(",") || count >= max) return none
    return [new Place(value(items), new Place(afterItem(node, id, counted + 1), below))]
  })
}

// ---- Objects ------------------------------------------------------------------------------------

const isNeeded = ({ properties }: ObjectNode, from: number): boolean =>
  properties.slice(from).some(({ isRequired }) => isRequired)

const firstKey = (node: ObjectNode, id: number): Frame =>
  spaced(`{${id}`, (byte, below) => {
    if (byte === code("}")) return isNeeded(node, 0) ? none : [below]
    return byte === code('"') ? keys(node, id, 0, below) : none
  })

const nextKey = (node: ObjectNode, id: number, from: number): Frame =>
  spaced(`,${id},${from}`, (byte, below) =>
    byte === code('"') ? keys(node, id, from, below) : none,
  )

const afterValue = (node: ObjectNode, id: number, from: number): Frame =>
  spaced(`}${id},${from}`, (byte, below) => {
    if (byte === code("}")) return isNeeded(node, from) ? none : [below]
    const goesOn = node.additional !== undefined || from < node.properties.length
    return byte === code(",") && goesOn ? [new Place(nextKey(node, id, from), below)] : none
  })

const colon = (node: JsonNode): Frame =>
  spaced(`:${node.id}`, (byte, below) =>
    byte === code(":") ? [new Place(value(node), below)] : none,
  )

/** The names that may come from a property on, each before its value: up to the first that must. */
function keys(node: ObjectNode, id: number, from: number, below: Place): readonly Place[] {
  const { properties, additional } = node
  const named = (key: Frame, of: JsonNode, next: number): Place =>
    new Place(key, new Place(colon(of), new Place(afterValue(node, id, next), below)))
  const found: Place[] = []
  for (let i = from; i < properties.length; i++) {
    const { bytes, node: own, isRequired } = properties[i] as ObjectNode["properties"][number]
    found.push(named(fixed(bytes), own, i + 1))
    if (isRequired) return found
  }
  if (!additional) return found
  const others = properties.map(({ bytes }) => bytes)
  const free = string({ id, min: 0, max: Number.POSITIVE_INFINITY, others })
  return [...found, named(free, additional, properties.length)]
}
