// Protocol buffers, the part that tokenizer models and ONNX use: fields in and out of bytes. Which field
// means what is left to those who read and write. Groups, which no model has, are refused.

/** A field as it lies in a message: a number for a varint, bytes for the rest. */
export interface MessageField {
  readonly number: number
  readonly value: number | Uint8Array
}

const wire = { varint: 0, eight: 1, bytes: 2, four: 5 } as const

/** The fields of a message in order. Throws SyntaxError naming `source` for malformed bytes. */
export function* fields(message: Uint8Array, source: string): Generator<MessageField> {
  const at = { position: 0 }
  while (at.position < message.length) {
    const tag = readVarint(message, at, source)
    const number = Math.floor(tag / 8)
    const type = tag % 8
    if (number === 0) throw malformed(source, "a field has the number 0")
    if (type === wire.varint) {
      yield { number, value: readVarint(message, at, source) }
      continue
    }
    const length = lengthOf(type, message, at, source)
    const end = at.position + length
    if (length < 0 || end > message.length) {
      const left = message.length - at.position
      throw malformed(source, `field ${number} has ${length} bytes where ${left} are left`)
    }
    yield { number, value: message.subarray(at.position, end) }
    at.position = end
  }
}

function lengthOf(
  type: number,
  message: Uint8Array,
  at: { position: number },
  source: string,
): number {
  if (type === wire.eight) return 8
  if (type === wire.four) return 4
  if (type === wire.bytes) return readVarint(message, at, source)
  throw malformed(source, `a field has the wire type ${type}`)
}

/** A number of up to 64 bits, exact up to 2^53; negative numbers are written with all 64. */
function readVarint(message: Uint8Array, at: { position: number }, source: string): number {
  let low = 0
  let high = 0
  for (let shift = 0; shift < 70; shift += 7) {
    const byte = message[at.position++]
    if (byte === undefined) throw malformed(source, "it ends inside of a number")
    const bits = byte & 0x7f
    if (shift < 28) low += bits * 2 ** shift
    else high += bits * 2 ** (shift - 28)
    if (byte < 0x80) return signed(low, high)
  }
  throw malformed(source, "a number is longer than 64 bits")
}

const signed = (low: number, high: number): number => {
  // 28 bits in `low`, 36 in `high`, the last of which is the sign.
  const upper = high % 2 ** 36
  return low + (upper >= 2 ** 35 ? upper - 2 ** 36 : upper) * 2 ** 28
}

const malformed = (source: string, what: string): SyntaxError =>
  new SyntaxError(`${source} is not a SentencePiece model: ${what}. Download it again`)

// ---- Writing ------------------------------------------------------------------------------------

export const varintField = (number: number, value: number): Uint8Array =>
  joined([varint(number * 8 + wire.varint), varint(value)])

export const floatField = (number: number, value: number): Uint8Array => {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setFloat32(0, value, true)
  return joined([varint(number * 8 + wire.four), bytes])
}

/** Text as UTF-8, bytes as they are, or the fields of a message. */
export const bytesField = (
  number: number,
  value: string | Uint8Array | readonly Uint8Array[],
): Uint8Array => {
  const bytes =
    typeof value === "string"
      ? new TextEncoder().encode(value)
      : value instanceof Uint8Array
        ? value
        : joined(value)
  return joined([varint(number * 8 + wire.bytes), varint(bytes.length), bytes])
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let position = 0
  for (const part of parts) {
    bytes.set(part, position)
    position += part.length
  }
  return bytes
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return Uint8Array.from(bytes)
}
