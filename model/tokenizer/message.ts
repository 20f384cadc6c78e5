// A message of a tokenizer model, its fields asked for by their numbers.
import { fields, type MessageField } from "../protobuf.ts"

export interface Message {
  number(field: number, otherwise: number): number
  flag(field: number, otherwise: boolean): boolean
  text(field: number, otherwise: string): string
  /** Whether a field of bytes is there and not empty. */
  holds(field: number): boolean
}

/** A message by field number, the last value of each; without a value, an empty one. */
export function message(value: MessageField["value"] | undefined, source: string): Message {
  const values = new Map<number, MessageField["value"]>()
  if (value !== undefined) {
    for (const field of fields(bytesOf(value, source), source)) {
      values.set(field.number, field.value)
    }
  }
  const number = (field: number, otherwise: number): number => {
    const found = values.get(field) ?? otherwise
    return typeof found === "number" ? found : floatOf(found, source)
  }
  return {
    number,
    flag: (field, otherwise) => number(field, Number(otherwise)) !== 0,
    text(field, otherwise) {
      const found = values.get(field)
      return found === undefined ? otherwise : textOf(bytesOf(found, source), source)
    },
    holds: (field) => bytesOf(values.get(field) ?? new Uint8Array(), source).length > 0,
  }
}

function bytesOf(value: MessageField["value"], source: string): Uint8Array {
  if (typeof value !== "number") return value
  throw new SyntaxError(`${source} is not a SentencePiece model: a number in place of a text`)
}

function floatOf(bytes: Uint8Array, source: string): number {
  if (bytes.length === 4) {
    return new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true)
  }
  throw new SyntaxError(`${source} is not a SentencePiece model: a text in place of a number`)
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

function textOf(bytes: Uint8Array, source: string): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new SyntaxError(`${source} is not a SentencePiece model: a text is not UTF-8`)
  }
}
