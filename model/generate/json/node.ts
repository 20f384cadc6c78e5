// What a JSON value may be, as schema.ts makes it of a schema and machine.ts follows it byte by byte.

/** A value of one kind. */
export type JsonNode = Readonly<{ id: number }> &
  Readonly<
    | { kind: "any" | "number" }
    | { kind: "literals"; texts: readonly Uint8Array[] }
    | { kind: "string"; min: number; max: number }
    | { kind: "integer"; min: number; max: number }
    | { kind: "array"; items: JsonNode; min: number; max: number }
    | ObjectNode
    | { kind: "anyOf"; options: readonly JsonNode[] }
    | { kind: "ref"; target(): JsonNode }
  >

/** Properties come in their order, what is not among them after. */
export interface ObjectNode {
  readonly kind: "object"
  readonly properties: readonly Property[]
  readonly additional: JsonNode | undefined
}

export interface Property {
  /** Its name as JSON has it, without the first quotation mark. */
  readonly bytes: Uint8Array
  readonly node: JsonNode
  readonly isRequired: boolean
}

/** Of whole numbers, as far as every one of them is told from the next. */
export const mostWhole = Number.MAX_SAFE_INTEGER

const utf8 = new TextEncoder()

/** Bytes of a value as JSON. */
export const bytesOfJson = (value: unknown): Uint8Array => utf8.encode(JSON.stringify(value))
