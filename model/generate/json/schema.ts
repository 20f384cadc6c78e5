// JSON Schema, the part of it that can be kept to token by token. What cannot is refused by its place and name:
// nothing of a schema is passed over.  json-schema.org/draft/2020-12
import { checkNumber, isObject, type Json, show } from "../../json.ts"
import { bytesOfJson, type JsonNode, mostWhole, type Property } from "./node.ts"

/** Says something of a value, and asks nothing of it. */
const annotations: ReadonlySet<string> = new Set([
  ...["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"],
  ...["$schema", "$id", "$comment", "$defs", "definitions"],
])

/** What is known beside the type, by type. */
const keywords = {
  string: ["minLength", "maxLength"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  array: ["items", "minItems", "maxItems"],
  object: ["properties", "required", "additionalProperties"],
  number: [],
  boolean: [],
  null: [],
} as const
type Type = keyof typeof keywords
const types = Object.keys(keywords) as readonly Type[]

/** Most parts of a schema, values that it lists among them, so that none takes forever. */
const mostParts = 2000

/** What a schema asks of a value. Throws RangeError and TypeError naming the place. */
export function nodeOfSchema(schema: unknown, name: string): JsonNode {
  const compiler = new Compiler(schema, name)
  const root = compiler.node(schema, "#")
  compiler.check()
  return root
}

class Compiler {
  readonly #root: unknown
  readonly #name: string
  readonly #nodes: { readonly node: JsonNode; readonly at: string }[] = []
  readonly #refs = new Map<string, JsonNode>()
  #values = 0

  constructor(root: unknown, name: string) {
    this.#root = root
    this.#name = name
  }

  node(schema: unknown, at: string): JsonNode {
    if (schema === true) return this.#add({ kind: "any" }, at)
    if (!isObject(schema)) throw this.#wrong(at, `is ${show(schema)}, expected a schema`)
    const own = Object.keys(schema).filter((key) => !annotations.has(key))
    const [only] = own
    if (only === undefined) return this.#add({ kind: "any" }, at)
    if (only === "$ref" && own.length === 1) return this.#ref(schema.$ref, at)
    if (only === "anyOf" && own.length === 1) return this.#anyOf(schema.anyOf, at)
    if ("enum" in schema || "const" in schema) return this.#literals(schema, own, at)
    const found = this.#typesOf(schema, own, at)
    const allowed = new Set(["type", ...found.flatMap((type): readonly string[] => keywords[type])])
    const other = own.find((key) => !allowed.has(key))
    if (other !== undefined) {
      throw this.#wrong(at, `${show(other)} is not kept to here beside ${show(own)}`)
    }
    const all = found.map((type) => this.#typed(type, schema, at))
    return all.length === 1 ? (all[0] as JsonNode) : this.#add({ kind: "anyOf", options: all }, at)
  }

  /** Throws RangeError for values that never end, and for what refers to itself with nothing between. */
  check(): void {
    const finite = new Set<JsonNode>()
    for (let before = -1; before !== finite.size; ) {
      before = finite.size
      for (const { node } of this.#nodes) if (endsOnce(node, finite)) finite.add(node)
    }
    const endless = this.#nodes.find(({ node }) => !finite.has(node))
    if (endless) throw this.#wrong(endless.at, "has no value that ends")
    for (const { node, at } of this.#nodes) {
      if (leadsTo(node, node, new Set())) throw this.#wrong(at, "is nothing but itself")
    }
  }

  #typesOf(schema: Json, own: readonly string[], at: string): readonly Type[] {
    const { type } = schema
    if (type === undefined) {
      const meant = types.find((name) =>
        own.some((key) => (keywords[name] as readonly string[]).includes(key)),
      )
      if (meant) return [meant]
      throw this.#wrong(at, `${show(own[0])} is not kept to here`)
    }
    const list: readonly unknown[] = Array.isArray(type) ? type : [type]
    const unknown = list.find((each) => !types.some((name) => name === each))
    if (list.length > 0 && unknown === undefined) return list as readonly Type[]
    throw this.#wrong(at, `type is ${show(type)}, expected ${types.join(", ")} or a list of them`)
  }

  #typed(type: Type, schema: Json, at: string): JsonNode {
    const size = (key: string, usual: number): number => {
      const value = schema[key]
      if (value === undefined) return usual
      checkNumber(`${this.#name}: ${at}/${key}`, value, 0, mostWhole, true)
      return value
    }
    const range = (least: string, most: string) => {
      const found = { min: size(least, 0), max: size(most, Number.POSITIVE_INFINITY) }
      if (found.min > found.max) throw this.#wrong(at, `${least} is above ${most}`)
      return found
    }
    if (type === "string") {
      return this.#add({ kind: "string", ...range("minLength", "maxLength") }, at)
    }
    if (type === "integer") return this.#integer(schema, at)
    if (type === "array") {
      const sizes = range("minItems", "maxItems")
      return this.#add(
        { kind: "array", items: this.node(schema.items ?? true, `${at}/items`), ...sizes },
        at,
      )
    }
    if (type === "object") return this.#object(schema, at)
    if (type === "number") return this.#add({ kind: "number" }, at)
    const values = type === "null" ? [null] : [true, false]
    return this.#add({ kind: "literals", texts: values.map(bytesOfJson) }, at)
  }

  #integer(schema: Json, at: string): JsonNode {
    const bound = (key: string, usual: number): number => {
      const value = schema[key]
      if (value === undefined) return usual
      checkNumber(`${this.#name}: ${at}/${key}`, value, -Number.MAX_VALUE, Number.MAX_VALUE, false)
      return value
    }
    const above = Math.floor(bound("exclusiveMinimum", -mostWhole - 1)) + 1
    const below = Math.ceil(bound("exclusiveMaximum", mostWhole + 1)) - 1
    const min = Math.max(Math.ceil(bound("minimum", -mostWhole)), above, -mostWhole)
    const max = Math.min(Math.floor(bound("maximum", mostWhole)), below, mostWhole)
    if (min > max) throw this.#wrong(at, "leaves no whole number")
    return this.#add({ kind: "integer", min, max }, at)
  }

  #object(schema: Json, at: string): JsonNode {
    const { properties = {}, required = [], additionalProperties = true } = schema
    if (!isObject(properties)) throw this.#wrong(at, "properties must be an object")
    if (!Array.isArray(required) || !required.every((key) => typeof key === "string")) {
      throw this.#wrong(at, "required must be a list of names")
    }
    const additional =
      additionalProperties === false
        ? undefined
        : this.node(additionalProperties, `${at}/additionalProperties`)
    const own = Object.entries(properties).map(
      ([key, each]): Property => ({
        bytes: bytesOfJson(key).subarray(1),
        node: this.node(each, `${at}/properties/${escaped(key)}`),
        isRequired: required.includes(key),
      }),
    )
    const others = required
      .filter((key) => !Object.hasOwn(properties, key))
      .map((key): Property => {
        if (!additional) throw this.#wrong(at, `requires ${show(key)}, which it has not`)
        return { bytes: bytesOfJson(key).subarray(1), node: additional, isRequired: true }
      })
    return this.#add({ kind: "object", properties: [...own, ...others], additional }, at)
  }

  #literals(schema: Json, own: readonly string[], at: string): JsonNode {
    const other = own.find((key) => !["enum", "const", "type"].includes(key))
    if (other !== undefined) throw this.#wrong(at, `${show(other)} is not kept to beside values`)
    const values = "const" in schema ? [schema.const] : schema.enum
    if (!Array.isArray(values) || values.length === 0) {
      throw this.#wrong(at, "enum must be a list of one value or more")
    }
    const both = "const" in schema && "enum" in schema
    if (both) throw this.#wrong(at, "const and enum are not kept to together")
    const allowed = "type" in schema ? this.#typesOf(schema, own, at) : types
    const meant = values.filter((value) => allowed.some((type) => isOfType(value, type)))
    if (meant.length === 0) throw this.#wrong(at, "has no value of its type")
    this.#values += meant.length
    return this.#add({ kind: "literals", texts: meant.map(bytesOfJson) }, at)
  }

  #anyOf(options: unknown, at: string): JsonNode {
    if (!Array.isArray(options) || options.length === 0) {
      throw this.#wrong(at, "anyOf must be a list of one schema or more")
    }
    const all = options.map((each, i) => this.node(each, `${at}/anyOf/${i}`))
    return this.#add({ kind: "anyOf", options: all }, at)
  }

  #ref(ref: unknown, at: string): JsonNode {
    if (typeof ref !== "string" || !/^#(\/|$)/.test(ref)) {
      throw this.#wrong(
        at,
        `$ref is ${show(ref)}, expected a place in this schema, as #/$defs/name`,
      )
    }
    const known = this.#refs.get(ref)
    if (known) return known
    let target: JsonNode | undefined
    const node = this.#add({ kind: "ref", target: () => target as JsonNode }, at)
    this.#refs.set(ref, node)
    target = this.node(this.#schemaAt(ref, at), ref)
    return node
  }

  #schemaAt(ref: string, at: string): unknown {
    let found: unknown = this.#root
    for (const part of ref.split("/").slice(1)) {
      const key = plain(part).replaceAll("~1", "/").replaceAll("~0", "~")
      const there = isObject(found) || Array.isArray(found)
      if (!there || !Object.hasOwn(found as object, key)) {
        throw this.#wrong(at, `$ref ${show(ref)} is nowhere in this schema`)
      }
      found = (found as Json)[key]
    }
    return found
  }

  #add<N extends Omitted>(node: N, at: string): JsonNode {
    if (this.#nodes.length + this.#values >= mostParts) {
      throw this.#wrong(at, `is beyond the ${mostParts} parts that a schema may have`)
    }
    const added = { ...node, id: this.#nodes.length } as unknown as JsonNode
    this.#nodes.push({ node: added, at })
    return added
  }

  #wrong(at: string, what: string): RangeError {
    return new RangeError(`${this.#name}: ${at}: ${what}`)
  }
}

/** A node without its number. */
type Omitted = JsonNode extends infer N ? (N extends unknown ? Omit<N, "id"> : never) : never

const escaped = (key: string): string => key.replaceAll("~", "~0").replaceAll("/", "~1")

/** A part of a pointer without what URLs escape. */
function plain(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

function isOfType(value: unknown, type: Type): boolean {
  if (type === "null") return value === null
  if (type === "array") return Array.isArray(value)
  if (type === "object") return isObject(value)
  if (type === "integer") return Number.isInteger(value)
  return typeof value === type
}

/** Whether some value of a node ends, where those of `finite` do. */
function endsOnce(node: JsonNode, finite: ReadonlySet<JsonNode>): boolean {
  if (node.kind === "array") return node.min === 0 || finite.has(node.items)
  if (node.kind === "object") {
    return node.properties.every(({ node, isRequired }) => !isRequired || finite.has(node))
  }
  if (node.kind === "anyOf") return node.options.some((each) => finite.has(each))
  return node.kind !== "ref" || finite.has(node.target())
}

/** Whether a node is another one without anything between. */
function leadsTo(from: JsonNode, to: JsonNode, seen: Set<JsonNode>): boolean {
  const next = from.kind === "anyOf" ? from.options : from.kind === "ref" ? [from.target()] : []
  return next.some((each) => {
    if (each === to) return true
    if (seen.has(each)) return false
    seen.add(each)
    return leadsTo(each, to, seen)
  })
}
