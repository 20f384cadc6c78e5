// JSON from files that nobody vouches for: UTF-8 only, limited depth, no key twice in one object
// (JSON.parse would keep the last one silently). What the values mean is left to the caller.
import { printable } from "./printable.ts"

const quote = 34
const backslash = 92
/** Commas and colons: far more than a hundred thousand tensors need, and few enough for memory. */
const maxSeparators = 2_000_000

/** An object of JSON, of which nothing is known yet. */
export type Json = Readonly<Record<string, unknown>>

/** The value of JSON bytes. Throws SyntaxError naming `source` for anything else. */
export function parseJson(bytes: Uint8Array, source: string, maxDepth = 16): unknown {
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new SyntaxError(`${source} is not UTF-8 text. Download or write it again`)
  }
  checkStructure(text, source, maxDepth)
  try {
    return JSON.parse(text)
  } catch (error) {
    const reason = printable((error as Error).message, "line")
    throw new SyntaxError(`${source} is not JSON: ${reason}. Download or write it again`)
  }
}

/** A value as it appears in an error message: one short printable line. */
export function show(value: unknown): string {
  if (typeof value === "string") return printable(JSON.stringify(cut(value)), "line")
  if (Array.isArray(value)) {
    const items = value.slice(0, 6).map((x) => (Array.isArray(x) ? "a list" : show(x)))
    return `[${items.join(", ")}${value.length > 6 ? ", …" : ""}]`
  }
  if (typeof value === "function") return "a function"
  if (typeof value === "object" && value !== null) return "an object"
  return value === undefined ? "missing" : String(value)
}

/** Whether a value is a JSON object, rather than a list, null or a plain value. */
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Refuses what is not a number from `from` to `to`, whole if asked. */
export function checkNumber(
  name: string,
  x: unknown,
  from: number,
  to: number,
  whole: boolean,
): asserts x is number {
  const expected = `${name} is ${show(x)}, expected ${whole ? "an integer" : "a number"}`
  if (typeof x !== "number") throw new TypeError(`${expected} from ${from} to ${to}`)
  if (x >= from && x <= to && (!whole || Number.isInteger(x))) return
  throw new RangeError(`${expected} from ${from} to ${to}`)
}

const cut = (text: string): string => (text.length > 100 ? `${text.slice(0, 100)}…` : text)

/** A name from a file within a message: short and printable. */
export const brief = (text: string): string => printable(cut(text), "line")

/** Refuses depth, masses of values and repeated keys before JSON.parse spends memory on them. */
function checkStructure(text: string, source: string, maxDepth: number): void {
  const open: Set<string>[] = []
  let separators = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (c === '"') {
      const end = endOfString(text, i)
      if (isKey(text, end)) addKey(open.at(-1), text.slice(i, end + 1), source)
      i = end
    } else if (c === "{" || c === "[") {
      if (open.length === maxDepth) {
        throw new SyntaxError(`${source} nests deeper than ${maxDepth}. Write it again`)
      }
      open.push(new Set())
    } else if (c === "}" || c === "]") {
      open.pop()
    } else if ((c === "," || c === ":") && ++separators > maxSeparators) {
      throw new SyntaxError(`${source} has more than ${maxSeparators} values. Write it again`)
    }
  }
}

function addKey(keys: Set<string> | undefined, literal: string, source: string): void {
  const key = unquoted(literal)
  if (keys?.has(key)) throw new SyntaxError(`${source} holds ${show(key)} twice. Write it again`)
  keys?.add(key)
}

/** Position of the closing quote, or the end of the text where there is none. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end > 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === backslash) slashes++
    if (slashes % 2 === 0) return end
  }
  return text.length
}

function isKey(text: string, end: number): boolean {
  let i = end + 1
  while (" \t\n\r".includes(text[i] ?? "x")) i++
  return text[i] === ":" && text.charCodeAt(end) === quote
}

/** The text of a string literal; a malformed one is left for JSON.parse to report. */
function unquoted(literal: string): string {
  if (!literal.includes("\\")) return literal.slice(1, -1)
  try {
    return JSON.parse(literal)
  } catch {
    return literal
  }
}
