// Results of measurements as their files have them: rows by key with the rates of every repeat, and how
// they were measured.
import { readFileSync } from "node:fs"
import * as v from "valibot"
import { cannot } from "../../model/index.ts"
import { isObject, parseJson, show } from "../../model/json.ts"
import { issueError, issuePath } from "../../model/schema.ts"

/** What of a file says how its rows were measured: the machine's fields, and the rows' own. */
export type Circumstances = ReadonlyMap<string, string>

interface ResultRow {
  /** Names the same measurement in another file. */
  readonly key: string
  readonly circumstances: Circumstances
  /** Values of all repeats by the names of rates. */
  readonly repeats: ReadonlyMap<string, readonly number[]>
}

export interface Results {
  readonly source: string
  readonly schema: string
  readonly machine: Circumstances
  readonly rows: readonly ResultRow[]
}

type Fields = Readonly<Record<string, unknown>>

/** What results of a schema are. */
interface Kind {
  key(row: Fields): string
  /** Fields of a row that tell how it was measured. */
  readonly how: readonly string[]
}

const kinds: Readonly<Record<string, Kind>> = {
  "elm-bench/1": {
    key: ({ model, dtype, cache }) =>
      `${model} ${dtype}${cache === "f32" ? "" : `, cache ${cache}`}`,
    how: ["backend", "threads", "promptTokens", "generatedTokens"],
  },
  "elm-bench-train/1": {
    key: ({ model, dtype }) => `${model} ${dtype}`,
    how: ["batch", "positions"],
  },
  "elm-bench-norms/1": { key: ({ model, norm }) => `${model}, ${norm}`, how: [] },
  "elm-bench-sweep/1": {
    key: ({ model, dtype }) => `${model} ${dtype}`,
    how: ["backend", "threads", "promptTokens", "generatedTokens", "parameters"],
  },
  "elm-bench-tables/1": { key: ({ table, label }) => `${table} ${label}`, how: [] },
}

const expected = "a list of repeats, each an object of positive numbers"
const positive = v.pipe(
  v.number(expected),
  v.check((x) => x > 0 && Number.isFinite(x), expected),
)
const file = v.looseObject({
  schema: v.picklist(Object.keys(kinds), Object.keys(kinds).join(" or ")),
  machine: v.record(v.string(), v.unknown(), "an object"),
  rows: v.array(
    v.looseObject({
      repeats: v.optional(v.array(v.record(v.string(), positive, expected), expected)),
    }),
    "a list of rows",
  ),
})

/** Reads a file of results, or a log whose last line is one. Throws Error where there is none, SyntaxError
 *  for what does not parse, TypeError or RangeError for other fields than a measurement writes. */
export function readResults(path: string): Results {
  const found = v.safeParse(file, jsonOf(path))
  if (!found.success) {
    const [issue] = found.issues
    const at = issuePath(issue) || "the whole"
    throw issueError(
      issue,
      `${path}: ${at} is ${show(issue.input)}, expected ${issue.message}. Give what --json FILE ` +
        "wrote, or results.json",
    )
  }
  const { schema, machine, rows, protocol } = found.output
  const { key, how } = kinds[schema] as Kind
  const about = { ...machine, ...(protocol === undefined ? {} : { protocol }) }
  const named = rows
    .filter(({ skipped }) => skipped === undefined)
    .map((row) => {
      const name = key(row)
      return {
        key: name,
        circumstances: textsOf(row, how),
        repeats: listsOf(row.repeats, path, name),
      }
    })
  const twice = named.find((row, i) => named.findIndex((other) => other.key === row.key) < i)
  if (twice) throw new RangeError(`${path} has ${twice.key} twice: which one is meant?`)
  return { source: path, schema, machine: textsOf(about, aboutFields), rows: named }
}

/** What has to be equal for figures to be of the same machine and build. */
const aboutFields = ["cpu", "cores", "os", "runtime", "build", "threads", "protocol"]

const textsOf = (fields: Fields, names: readonly string[]) =>
  new Map(
    names.flatMap((name) => (fields[name] === undefined ? [] : [[name, String(fields[name])]])),
  )

/** Values by the names of rates. */
function listsOf(
  repeats: readonly Readonly<Record<string, number>>[] = [],
  path: string,
  key: string,
): Map<string, readonly number[]> {
  const [first] = repeats
  if (!first) {
    throw new RangeError(`${path}: ${key} keeps no repeats, which this compares. Measure it again`)
  }
  const names = Object.keys(first).filter((name) => repeats.every((each) => name in each))
  return new Map(names.map((name) => [name, repeats.map((each) => each[name] as number)]))
}

function jsonOf(path: string): unknown {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch (error) {
    throw cannot("read", path, error)
  }
  const lines = new TextDecoder().decode(bytes).trimEnd().split("\n")
  const last = lines.at(-1) ?? ""
  // A log of the command, whose last line is the result.
  const isLog = lines.length > 1 && last.startsWith("{") && last.length > 2
  const json = parseJson(isLog ? new TextEncoder().encode(last) : bytes, path)
  if (!isObject(json)) throw new SyntaxError(`${path} holds ${show(json)}, expected an object`)
  return json
}
