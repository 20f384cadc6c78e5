// Python's literals, as ast.literal_eval reads them: texts, numbers, lists, tuples, dicts, True, False and
// None; and JSON, whose values are the same but for three names.
import { brief } from "../json.ts"

/** Lists in each other: data has three or four. */
const deepest = 64

const names: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["True", true],
  ["true", true],
  ["False", false],
  ["false", false],
  ["None", null],
  ["null", null],
])

const escapes: ReadonlyMap<string, string> = new Map([
  ...Object.entries({ n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v" }),
  ...[..."\\'\""].map((c) => [c, c] as const),
  ["\n", ""],
])
const digitsOf: ReadonlyMap<string, number> = new Map([
  ["x", 2],
  ["u", 4],
  ["U", 8],
])

/** The value of a literal; tuples are lists. Throws SyntaxError naming `source` for anything else. */
export function parseLiteral(text: string, source: string): unknown {
  const reader = new Reader(text, source)
  const value = reader.value(0)
  reader.end()
  return value
}

class Reader {
  readonly #text: string
  readonly #source: string
  #at = 0

  constructor(text: string, source: string) {
    this.#text = text
    this.#source = source
  }

  value(depth: number): unknown {
    if (depth > deepest) this.#fail(`it nests deeper than ${deepest}`)
    const next = this.#next()
    if (next === "[") return this.#items("]", depth)
    if (next === "(") return this.#tuple(depth)
    if (next === "{") return this.#entries(depth)
    if (this.#match(/[uU]?(?=["'])/y) !== undefined) return this.#texts("")
    if (this.#match(/[rR](?=["'])/y) !== undefined) return this.#texts("r")
    const number = this.#match(/[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])/y)
    if (number !== undefined) return Number(number.replaceAll("_", ""))
    const name = this.#match(/[A-Za-z_]\w*/y)
    if (name !== undefined && names.has(name)) return names.get(name)
    return this.#fail(`expected a value, got ${brief(name ?? next ?? "its end")}`)
  }

  end(): void {
    const next = this.#next()
    if (next !== undefined) this.#fail(`expected its end, got ${brief(next)}`)
  }

  #items(close: string, depth: number): unknown[] {
    const items: unknown[] = []
    this.#at++
    while (!this.#takes(close)) {
      items.push(this.value(depth + 1))
      if (this.#takes(",")) continue
      if (!this.#takes(close))
        this.#fail(`expected , or ${close}, got ${this.#next() ?? "its end"}`)
      break
    }
    return items
  }

  /** A tuple, or a value in brackets. */
  #tuple(depth: number): unknown {
    const items = this.#items(")", depth)
    const before = this.#text.slice(0, this.#at - 1).trimEnd()
    return items.length === 1 && !before.endsWith(",") ? items[0] : items
  }

  #entries(depth: number): Record<string, unknown> {
    const entries: [string, unknown][] = []
    this.#at++
    while (!this.#takes("}")) {
      const key = this.value(depth + 1)
      if (!this.#takes(":")) this.#fail(`expected :, got ${this.#next() ?? "its end"}`)
      entries.push([String(key), this.value(depth + 1)])
      if (this.#takes(",")) continue
      if (!this.#takes("}")) this.#fail(`expected , or }, got ${this.#next() ?? "its end"}`)
      break
    }
    return Object.fromEntries(entries)
  }

  /** Texts side by side are one. */
  #texts(prefix: string): string {
    let whole = this.#one(prefix === "r")
    for (;;) {
      this.#next()
      const more = this.#match(/[uUrR]?(?=["'])/y)
      if (more === undefined) return whole
      whole += this.#one(/r/i.test(more))
    }
  }

  #one(isRaw: boolean): string {
    const text = this.#text
    const quote = this.#match(/"""|'''|"|'/y) as string
    let out = ""
    for (;;) {
      if (text.startsWith(quote, this.#at)) break
      const c = text[this.#at]
      if (c === undefined || (c === "\n" && quote.length === 1)) this.#fail("a text has no end")
      if (c !== "\\") {
        out += c
        this.#at++
      } else if (isRaw) {
        out += text.slice(this.#at, this.#at + 2)
        this.#at += 2
      } else {
        out += this.#escape()
      }
    }
    this.#at += quote.length
    return out
  }

  /** What stands for a backslash and what follows. One that means nothing stays. */
  #escape(): string {
    this.#at++
    const octal = this.#match(/[0-7]{1,3}/y)
    if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8))
    const c = this.#text[this.#at++] ?? ""
    const plain = escapes.get(c)
    if (plain !== undefined) return plain
    const digits = digitsOf.get(c)
    if (digits === undefined) return c === "N" ? this.#fail("it has \\N, a name") : `\\${c}`
    const hex = this.#match(new RegExp(`[0-9a-fA-F]{${digits}}`, "y"))
    const code = Number.parseInt(hex ?? "", 16)
    if (!(code <= 0x10ffff)) this.#fail(`\\${c} needs ${digits} digits of a character`)
    return String.fromCodePoint(code)
  }

  /** The next character that is no white space. */
  #next(): string | undefined {
    this.#match(/[ \t\r\n\f]*/y)
    return this.#text[this.#at]
  }

  #takes(what: string): boolean {
    if (this.#next() !== what) return false
    this.#at++
    return true
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    this.#at += found?.length ?? 0
    return found
  }

  #fail(reason: string): never {
    throw new SyntaxError(
      `${this.#source} is not a literal of Python: ${reason}, at character ${this.#at + 1}`,
    )
  }
}
