// Messages of protobuf as ONNX needs them: whole numbers, bytes, texts and messages within messages.

/** A field of a message: its number, and what is there. */
export type Field = readonly [number: number, value: FieldValue | readonly FieldValue[]]
type FieldValue = number | bigint | string | Uint8Array | { readonly f32: number }

const [varints, lengths, words] = [0, 2, 5] as const

function varint(value: bigint): number[] {
  const bytes: number[] = []
  // Negative numbers have ten bytes: their 64 bits.
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    const low = Number(rest & 127n)
    if (rest < 128n) return [...bytes, low]
    bytes.push(low | 128)
  }
}

const key = (number: number, kind: number): number[] => varint(BigInt((number << 3) | kind))

function encoded(number: number, value: FieldValue): Uint8Array[] {
  if (typeof value === "number" || typeof value === "bigint") {
    return [Uint8Array.from([...key(number, varints), ...varint(BigInt(value))])]
  }
  if (typeof value === "object" && "f32" in value) {
    const bytes = new Uint8Array(Float32Array.of(value.f32).buffer)
    return [Uint8Array.from([...key(number, words), ...bytes])]
  }
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value
  return [Uint8Array.from([...key(number, lengths), ...varint(BigInt(bytes.length))]), bytes]
}

/** A message of fields, in this order; a list is a field that is repeated. */
export function message(fields: readonly Field[]): Uint8Array {
  const isList = (value: Field[1]): value is readonly FieldValue[] => Array.isArray(value)
  const pieces = fields.flatMap(([number, value]) =>
    isList(value) ? value.flatMap((each) => encoded(number, each)) : encoded(number, value),
  )
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const piece of pieces) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}
