// Changes of a file, each from a seed and a number, so that a case can be made again.
import { randomOf } from "../tokenizers.ts"

type Below = (below: number) => number

const extremes = [
  "-1",
  "0",
  "1e9",
  "2147483648",
  "9007199254740993",
  "1e308",
  "-0.5",
  "NaN",
  "null",
]
const values = ['"text"', "[]", "{}", "true", "[1,2,3]", '"\\u001b[2J"', '"../../x"']

/** One to three changes of `bytes`; `other` is a file of another kind, for splices. */
export function mutated(bytes: Uint8Array, other: Uint8Array, seed: number): Uint8Array {
  const below = randomOf(seed)
  let result = bytes
  for (let left = 1 + below(3); left > 0; left--) {
    const change = changes[below(changes.length)] as Change
    result = change(result, below, other)
  }
  return result
}

type Change = (bytes: Uint8Array, below: Below, other: Uint8Array) => Uint8Array

/** A place: often near the beginning, where headers are, or the end, where footers are. */
function placeIn(bytes: Uint8Array, below: Below): number {
  const length = Math.max(1, bytes.length)
  const near = Math.min(length, 200)
  const where = below(3)
  return where === 0 ? below(near) : where === 1 ? length - 1 - below(near) : below(length)
}

const cut = (bytes: Uint8Array, at: number, count: number, put: Uint8Array): Uint8Array =>
  Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + count)])

const none = new Uint8Array(0)

const setByte: Change = (bytes, below) => {
  const copy = bytes.slice()
  copy[placeIn(bytes, below)] = [0, 1, 0x7f, 0x80, 0xff, below(256)][below(6)] as number
  return copy
}

/** A field of a text in JSON or YAML: a number, or what stands after a colon. */
const setValue: Change = (bytes, below) => {
  const text = Buffer.from(bytes).toString("latin1")
  const fields = [...text.slice(0, 20_000).matchAll(/-?\d+(?:\.\d+)?|(?<=": ?)"[^"]*"/g)]
  const field = fields[below(Math.max(1, fields.length))]
  if (!field) return setByte(bytes, below, none)
  const list = below(2) === 0 ? extremes : values
  const value = list[below(list.length)] as string
  return cut(bytes, field.index, field[0].length, Buffer.from(value))
}

const dropField: Change = (bytes, below) => {
  const text = Buffer.from(bytes).toString("latin1")
  const fields = [...text.slice(0, 20_000).matchAll(/"[\w.]+": ?(?:"[^"]*"|[\d.]+|\[[^[\]]*\]),?/g)]
  const field = fields[below(Math.max(1, fields.length))]
  return field ? cut(bytes, field.index, field[0].length, none) : setByte(bytes, below, none)
}

const changes: readonly Change[] = [
  setByte,
  setByte,
  setValue,
  setValue,
  dropField,
  (bytes, below) => {
    const copy = bytes.slice()
    const at = placeIn(bytes, below)
    copy[at] = (copy[at] ?? 0) ^ (1 << below(8))
    return copy
  },
  (bytes, below) => bytes.subarray(0, placeIn(bytes, below)),
  (bytes, below) =>
    cut(bytes, placeIn(bytes, below), 0, new Uint8Array(1 + below(40)).fill(below(256))),
  (bytes, below) => cut(bytes, placeIn(bytes, below), 1 + below(60), none),
  (bytes, below) => {
    const [from, count] = [placeIn(bytes, below), 1 + below(200)]
    return cut(bytes, placeIn(bytes, below), 0, bytes.slice(from, from + count))
  },
  (bytes, below, other) => {
    const piece = other.slice(0, 1 + below(Math.max(1, other.length)))
    return cut(bytes, placeIn(bytes, below), below(100), piece)
  },
]
