// The rows of a file as they were published: JSON lines, a JSON list, Parquet.
import { isObject, type Json, parseJson, show } from "../json.ts"
import { printable } from "../printable.ts"
import { openFile } from "./source.ts"
import { contentOf } from "./tree.ts"

/** A row, and its number in the file from 1 on: of JSON lines that of the line. */
export interface Row {
  readonly number: number
  readonly row: Json
}

/** The largest data set read here, hellaswag's training split, has 48 MB. */
const mostBytes = 1 << 30
/** Lists in structs in lists. */
const deepest = 16

/** All rows of a file. Throws Error where it cannot be read, SyntaxError that names file and row for what
 *  does not parse, TypeError for rows that are no objects, RangeError for none. */
export async function rowsOf(path: string): Promise<readonly Row[]> {
  const rows = path.endsWith(".parquet") ? await parquetRows(path) : await jsonRows(path)
  if (rows.length === 0) throw new RangeError(`${path} has no rows`)
  return rows
}

async function parquetRows(path: string): Promise<readonly Row[]> {
  const { readRows } = await import("./parquet_rows.ts")
  return numbered(await readRows(path), path)
}

async function jsonRows(path: string): Promise<readonly Row[]> {
  const bytes = await contentOf(await openFile(path, { limit: mostBytes }), mostBytes)
  // A list is one value, on many lines perhaps; anything else is a value a line.
  const first = bytes.find((byte) => !" \t\r\n".includes(String.fromCharCode(byte)))
  if (path.endsWith(".json") && first === "[".charCodeAt(0)) {
    return numbered(parseJson(bytes, path, deepest) as readonly unknown[], path)
  }
  return linesOf(textOf(bytes, path)).map(({ number, line }) => ({
    number,
    row: objectOf(parsed(line, `${path} row ${number}`), `${path} row ${number}`),
  }))
}

const numbered = (values: readonly unknown[], path: string): Row[] =>
  values.map((value, i) => ({ number: i + 1, row: objectOf(value, `${path} row ${i + 1}`) }))

function textOf(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    throw new SyntaxError(`${path} is not UTF-8 text. Download or write it again`)
  }
}

const linesOf = (text: string): { readonly number: number; readonly line: string }[] =>
  text
    .split("\n")
    .map((line, i) => ({ number: i + 1, line }))
    .filter(({ line }) => line.trim() !== "")

function parsed(line: string, at: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    const message = (error as Error).message.replace(/, ?".*| in JSON at.*/s, "")
    throw new SyntaxError(`${at} is not JSON: ${printable(message, "line")}`)
  }
}

function objectOf(value: unknown, at: string): Json {
  if (isObject(value)) return value
  throw new TypeError(`${at} is ${show(value)}, expected an object`)
}
