// Templates of Jinja over the columns of a row, as the original renders them: one newline at the end of a
// template is dropped, and a name that is no column is an error. The interpreter is loaded with the first.
import { isObject, show } from "../../model/json.ts"
import type { Document } from "../types.ts"

/** A template that has been read. */
type Rendering = (row: Document) => string

const globals: Readonly<Record<string, unknown>> = {
  ...{ true: true, false: false, none: null, True: true, False: false, None: null },
}

/** The template as a function of a row. Throws SyntaxError naming `field` where it is not Jinja; the
 *  function RangeError for a name that is no column, and Error for what cannot be rendered. */
export async function compiled(template: string, field: string): Promise<Rendering> {
  if (!/\{[{%#]/.test(template)) {
    const text = template.replace(/\n$/, "")
    return () => text
  }
  const { Environment, Interpreter, parse, tokenize } = await import("@huggingface/jinja")
  const parsed = (() => {
    try {
      return parse(tokenize(template))
    } catch (error) {
      throw new SyntaxError(`${field} is not Jinja: ${(error as Error).message}`, { cause: error })
    }
  })()
  const names = namesIn(parsed)
  const made = (own: (wanted: unknown) => number): Interpreted => {
    const environment = new Environment()
    environment.set("own", own)
    return environment.lookupVariable("own")
  }
  return (row) => {
    const missing = names.find((name) => !(name in row) && !(name in globals) && name !== "range")
    if (missing !== undefined) {
      const columns = Object.keys(row).map((name) => show(name))
      throw new RangeError(`${field} asks for ${missing}; the columns are ${columns.join(", ")}`)
    }
    try {
      const environment = new Environment()
      for (const [name, value] of Object.entries({ ...globals, ...row })) {
        environment.set(name, value)
        addIndex(environment.lookupVariable(name), made)
      }
      return String(new Interpreter(environment).run(parsed).value)
    } catch (error) {
      throw new Error(`${field} cannot be rendered: ${(error as Error).message}`, { cause: error })
    }
  }
}

type Interpreted = ReturnType<
  InstanceType<typeof import("@huggingface/jinja").Environment>["lookupVariable"]
>

/** Lists of Python have `index`, which templates of tasks use to find the right answer. `made`: a function
 *  as the interpreter has it. */
function addIndex(value: Interpreted, made: (own: (wanted: unknown) => number) => Interpreted) {
  const inner: unknown = value.value
  if (inner instanceof Map) for (const each of inner.values()) addIndex(each, made)
  if (!Array.isArray(inner)) return
  const items = inner as readonly Interpreted[]
  for (const each of items) addIndex(each, made)
  const index = (wanted: unknown): number => {
    const at = items.findIndex((each) => each.value === wanted)
    if (at < 0) throw new Error(`${show(wanted)} is not in the list`)
    return at
  }
  value.builtins.set("index", made(index))
}

/** Fields of a node in which a name is none of a variable. */
const otherNames: Readonly<Record<string, string>> = {
  FilterExpression: "filter",
  TestExpression: "test",
  KeywordArgumentExpression: "key",
}

/** Names that a template takes from outside. */
function namesIn(program: unknown): string[] {
  const used = new Set<string>()
  const made = new Set<string>(["loop"])
  const walk = (node: unknown): void => {
    if (Array.isArray(node)) node.forEach(walk)
    if (!isObject(node)) return
    if (node.type === "Identifier") used.add(String(node.value))
    const own = otherNames[String(node.type)]
    for (const [field, inner] of Object.entries(node)) {
      if (node.type === "MemberExpression" && field === "property" && !node.computed) continue
      if (field === own) {
        // A filter with arguments is a call, whose arguments are values all the same.
        if (isObject(inner) && inner.type === "CallExpression") walk(inner.args)
      } else if (field === "loopvar" || field === "assignee") {
        for (const name of namesIn(inner)) made.add(name)
      } else if (inner instanceof Map) {
        walk([...inner])
      } else {
        walk(inner)
      }
    }
  }
  walk(program)
  return [...used].filter((name) => !made.has(name))
}
