// Signatures such as "x:(N,D) w:(D) -> y:(N,D)": parsed once, unified with the shapes of each call.
// A dimension is a linear form in at most one unknown size: N, 16, 2*F, B*T, (H+2*G)*E.
import { type DType, isDType } from "./dtype.ts"

/** Sizes and numbers by name. */
export type Sizes = Record<string, number>

/** One input or output of a signature. */
export interface Slot {
  readonly name: string
  /** Accepted dtypes; "dtype" in a signature stands for the call's dtype attribute. */
  readonly dtypes: readonly DType[] | "dtype"
  readonly dims: readonly Dim[]
}

/** A dimension in a signature, such as (H+2*G)*E. */
export interface Dim {
  readonly text: string
  readonly symbols: readonly string[]
  /** Its size, where those of its symbols are known. */
  value(sizes: Sizes): number
}

/** A parsed signature. */
export interface Signature {
  readonly text: string
  readonly inputs: readonly Slot[]
  readonly outputs: readonly Slot[]
}

export interface Operand {
  readonly shape: readonly number[]
  readonly dtype: DType
}

export function parseSignature(source: string): Signature {
  const text = source.trim().replace(/\s+/g, " ")
  const [inputs = "", outputs] = text.split("->")
  if (outputs === undefined) throw new SyntaxError(`signature without "->": ${text}`)
  return { text, inputs: slots(inputs), outputs: slots(outputs) }
}

const slots = (text: string): Slot[] => text.split(" ").filter(Boolean).map(parseSlot)

function parseSlot(text: string): Slot {
  const match = /^(\w+):([\w|]*)\((.*)\)$/.exec(text)
  if (!match) throw new SyntaxError(`signature: cannot read ${text}`)
  const [, name = "", types = "", dims = ""] = match
  return { name, dtypes: parseTypes(types), dims: splitDims(dims).map(parseDim) }
}

function parseTypes(text: string): readonly DType[] | "dtype" {
  if (text === "") return ["f32"]
  if (text === "dtype") return "dtype"
  if (text === "float") return ["f32", "f16", "bf16"]
  return text.split("|").map((name) => {
    if (!isDType(name)) throw new SyntaxError(`signature: unknown dtype ${name}`)
    return name
  })
}

/** Splits at commas outside parentheses. */
function splitDims(text: string): string[] {
  if (text === "") return []
  const parts = [""]
  let depth = 0
  for (const c of text) {
    depth += c === "(" ? 1 : c === ")" ? -1 : 0
    if (c === "," && depth === 0) parts.push("")
    else parts[parts.length - 1] += c
  }
  return parts
}

function parseDim(text: string): Dim {
  const tokens = text.match(/[A-Za-z]\w*|\d+|[()+*]/g) ?? []
  const symbols = [...new Set(tokens.filter((t) => /^[A-Za-z]/.test(t)))]
  return { text, symbols, value: (sizes) => evaluate(tokens, sizes) }
}

/** sum := product ("+" product)*, product := atom ("*" atom)*, atom := number | size | "(" sum ")" */
function evaluate(tokens: readonly string[], sizes: Sizes): number {
  let at = 0
  const atom = (): number => {
    const token = tokens[at++] as string
    if (token === "(") {
      const inner = sum()
      at++
      return inner
    }
    return /^\d/.test(token) ? Number(token) : (sizes[token] ?? Number.NaN)
  }
  const product = (): number => {
    let value = atom()
    while (tokens[at] === "*") {
      at++
      value *= atom()
    }
    return value
  }
  const sum = (): number => {
    let value = product()
    while (tokens[at] === "+") {
      at++
      value += product()
    }
    return value
  }
  return sum()
}

/** Binds every size from the operands and the given attributes, or throws the call's shape error. */
export function unify(
  name: string,
  signature: Signature,
  operands: readonly Operand[],
  given: Sizes,
): Sizes {
  const fail = (reason: string, kind: typeof RangeError | typeof TypeError = RangeError): never => {
    const got = signature.inputs.map((s, i) => `${s.name}${show(operands[i])}`).join(" ")
    throw new kind(`${name}: ${reason}\n  takes ${signature.text}\n  got   ${got}`)
  }
  if (operands.length !== signature.inputs.length) {
    fail(`takes ${signature.inputs.length} tensors, got ${operands.length}`, TypeError)
  }
  const sizes: Sizes = { ...given }
  const open: { dim: Dim; actual: number; slot: string }[] = []
  signature.inputs.forEach((slot, i) => {
    const { shape, dtype } = operands[i] as Operand
    if (slot.dtypes !== "dtype" && !slot.dtypes.includes(dtype)) {
      fail(`${slot.name} is ${dtype}, expected ${slot.dtypes.join(" or ")}`, TypeError)
    }
    if (shape.length !== slot.dims.length) {
      fail(`${slot.name} has ${shape.length} axes, expected ${slot.dims.length}`)
    }
    slot.dims.forEach((dim, axis) => {
      open.push({ dim, actual: shape[axis] as number, slot: slot.name })
    })
  })
  let pending = open
  while (pending.length > 0) {
    const rest = pending.filter(({ dim, actual, slot }) => !solve(dim, actual, slot, sizes, fail))
    if (rest.length === pending.length)
      fail(`give ${missing(rest, sizes)} as attributes`, TypeError)
    pending = rest
  }
  return sizes
}

/** Checks a known dimension or solves it for its one unknown; false while two are unknown. */
function solve(
  dim: Dim,
  actual: number,
  slot: string,
  sizes: Sizes,
  fail: (reason: string) => never,
): boolean {
  const unknown = dim.symbols.filter((s) => sizes[s] === undefined)
  if (unknown.length > 1) return false
  const symbol = unknown[0]
  if (symbol === undefined) {
    const expected = dim.value(sizes)
    if (expected !== actual) fail(`axis ${dim.text} is ${expected} but ${slot} has ${actual}`)
    return true
  }
  const base = dim.value({ ...sizes, [symbol]: 0 })
  const factor = dim.value({ ...sizes, [symbol]: 1 }) - base
  const solved = (actual - base) / factor
  if (!Number.isInteger(solved) || solved < 0) {
    fail(`axis ${dim.text} of ${slot} is ${actual}, which no ${symbol} gives`)
  }
  sizes[symbol] = solved
  return true
}

const missing = (open: readonly { dim: Dim }[], sizes: Sizes): string =>
  [...new Set(open.flatMap(({ dim }) => dim.symbols))]
    .filter((s) => sizes[s] === undefined)
    .join(", ")

function show(operand: Operand | undefined): string {
  if (!operand) return "(missing)"
  const type = operand.dtype === "f32" ? "" : `:${operand.dtype}`
  return `${type}(${operand.shape.join(", ")})`
}
