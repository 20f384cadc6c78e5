// Structs in Thrift's compact protocol, as far as headers in Parquet files need it: numbers, structs
// and lists of structs by the number of their field; what else there is is passed over.

export type ThriftStruct = ReadonlyMap<number, ThriftValue>
export type ThriftValue = number | ThriftStruct | readonly ThriftStruct[]

/** Structs and lists in each other: a file's footer has a dozen. */
const deepest = 32

/** Reads from a buffer's beginning on. Throws RangeError beyond its end, SyntaxError for nonsense. */
export class Thrift {
  readonly #bytes: Uint8Array
  offset = 0

  constructor(buffer: ArrayBuffer) {
    this.#bytes = new Uint8Array(buffer)
  }

  struct(depth = 0): ThriftStruct {
    if (depth > deepest) throw new SyntaxError(`structs lie ${depth} deep`)
    const fields = new Map<number, ThriftValue>()
    for (let field = 0, head = this.#byte(); head !== 0; head = this.#byte()) {
      field = head >> 4 ? field + (head >> 4) : zigzag(this.#varint())
      const value = this.#value(head & 15, depth)
      if (value !== undefined) fields.set(field, value)
    }
    return fields
  }

  #value(type: number, depth: number): ThriftValue | undefined {
    if (type === 1 || type === 2) return 2 - type
    if (type === 3) return this.#byte()
    if (type >= 4 && type <= 6) return zigzag(this.#varint())
    if (type === 7) return this.#skip(8)
    if (type === 8) return this.#skip(this.#varint())
    if (type === 9 || type === 10) return this.#list(depth)
    if (type === 12) return this.struct(depth + 1)
    throw new SyntaxError(`there is no type ${type}`)
  }

  /** A list of structs; one of something else is passed over. Elements take a byte at least. */
  #list(depth: number): readonly ThriftStruct[] | undefined {
    const head = this.#byte()
    const count = head >> 4 === 15 ? this.#varint() : head >> 4
    const type = head & 15
    const structs: ThriftStruct[] = []
    for (let i = 0; i < count; i++) {
      if (type === 12) structs.push(this.struct(depth + 1))
      else if (type === 1 || type === 2) this.#byte()
      else this.#value(type, depth + 1)
    }
    return type === 12 ? structs : undefined
  }

  #byte(): number {
    const byte = this.#bytes[this.offset++]
    if (byte === undefined) throw new RangeError("a struct goes beyond its bytes")
    return byte
  }

  /** In doubles: exact up to 2^53. */
  #varint(): number {
    let value = 0
    for (let scale = 1; scale <= 2 ** 63; scale *= 128) {
      const byte = this.#byte()
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
    throw new SyntaxError("a number has more than ten bytes")
  }

  #skip(bytes: number): undefined {
    this.offset += bytes
    if (this.offset > this.#bytes.length) throw new RangeError("a text goes beyond its bytes")
  }
}

const zigzag = (n: number): number => (n % 2 === 0 ? n / 2 : -(n + 1) / 2)
