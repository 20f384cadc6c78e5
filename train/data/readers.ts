// Documents of a file, in order, as they stream from the disk: JSON lines, text, and by parquet.ts
// Parquet. What cannot be read is an item of its own, so that it is met in order.
import { isObject, show } from "../../model/json.ts"
import { printable } from "../../model/printable.ts"
import { inEither } from "../spelling.ts"
import { type Block, notUtf8, readBlocks } from "./blocks.ts"
import type { DataFile } from "./files.ts"

/** A document, or a part of a long one. */
export interface Fragment {
  /** Grows from document to document: its line, or row; 0 for a file that is one document. */
  readonly record: number
  readonly text: string
  /** Is this the end of the document? */
  readonly last: boolean
}

export interface Problem {
  readonly record: number
  readonly error: Error
}

export type Item = Fragment | Problem

export const formats =
  ".jsonl, .json (a record a line), .txt, .md, each also .gz or .zst, and .parquet"

/** How a file of a folder is read, by its name; undefined: not at all. One that is named by itself is
 *  text then, whatever its name. */
export function formatOf(path: string): "json" | "text" | "parquet" | undefined {
  if (/\.parquet$/.test(path)) return "parquet"
  const name = path.replace(/\.(gz|zst)$/, "")
  if (/\.(jsonl|json|ndjson)$/.test(name)) return "json"
  if (/\.(txt|text|md|markdown)$/i.test(name)) return "text"
  return undefined
}

/** The items of a file from a record on. Throws where the file itself fails. */
export function readItems(file: DataFile, from: number, rows: number): AsyncGenerator<Item[]> {
  const format = formatOf(file.path)
  if (format === "json") return jsonItems(file, from)
  if (format === "parquet") return parquetItems(file, from, rows)
  if (file.documents === "file") return fileItems(file)
  return textItems(file, from, file.documents === "paragraphs")
}

async function* parquetItems(file: DataFile, from: number, rows: number) {
  const { readParquet } = await import("./parquet.ts")
  yield* readParquet(file, from, rows)
}

// ---- Records in lines -----------------------------------------------------------------------------

async function* jsonItems({ path, key }: DataFile, from: number): AsyncGenerator<Item[]> {
  for await (const block of readBlocks(path, false)) {
    const items: Item[] = []
    for (const [record, line] of linesOf(block, from)) {
      if (block.wrong.includes(record)) {
        items.push({ record, error: notUtf8(path, record) })
      } else if (line.trim() !== "") {
        items.push(jsonItem(`${path} line ${record}`, record, line, key))
      }
    }
    yield items
  }
}

/** Numbered lines of a block from a number on, the last of a block that ends in one left out. */
function* linesOf({ text, line }: Block, from: number): Generator<[number, string]> {
  let number = line
  for (let at = 0; at < text.length; number++) {
    const newline = text.indexOf("\n", at)
    const end = newline < 0 ? text.length : newline
    if (number >= from) yield [number, text.slice(at, end)]
    at = end + 1
  }
}

function jsonItem(at: string, record: number, line: string, key: string): Item {
  let json: unknown
  try {
    json = parseRecord(line)
  } catch (error) {
    const message = (error as Error).message.replace(/, ?".*| in JSON at.*/s, "")
    const reason = printable(message, "line")
    return { record, error: new SyntaxError(`${at} is not JSON: ${reason}`) }
  }
  if (!isObject(json)) {
    return { record, error: new SyntaxError(`${at} is ${show(json)}, expected an object`) }
  }
  return textItem(at, record, valueAt(json, key), key, () => Object.keys(json))
}

/** JSON, and what Python's json.dumps writes beside it: NaN, Infinity and -Infinity are null here. */
function parseRecord(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    const without = line.replace(
      /"(?:[^"\\]|\\.)*"|(?<![\w.+-])(?:NaN|-?Infinity)(?![\w.])/g,
      (found) => (found.startsWith('"') ? found : "null"),
    )
    if (without === line) throw error
    return JSON.parse(without)
  }
}

/** The value under a key, which may lead into objects: "doc.text"; a key of that very name first. */
export function valueAt(record: Readonly<Record<string, unknown>>, key: string): unknown {
  if (Object.hasOwn(record, key)) return record[key]
  return key
    .split(".")
    .reduce<unknown>(
      (value, name) => (isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined),
      record,
    )
}

/** The item of a value found under a key. */
export function textItem(
  at: string,
  record: number,
  value: unknown,
  key: string,
  keys: () => string[],
): Item {
  if (typeof value === "string") return { record, text: value, last: true }
  const error =
    value === undefined
      ? new RangeError(
          `${at} has no ${show(key)}, only ${show(keys())}. Set ${inEither("textKey")}`,
        )
      : new TypeError(`${at}: ${show(key)} is ${show(value)}, expected a text`)
  return { record, error }
}

// ---- Text -----------------------------------------------------------------------------------------

/** A file as one document, in fragments. */
async function* fileItems({ path }: DataFile): AsyncGenerator<Item[]> {
  for await (const { text, wrong } of readBlocks(path, true)) {
    const problems = wrong.map((line) => ({ record: 0, error: notUtf8(path, line) }))
    yield [...problems, { record: 0, text, last: false }]
  }
  yield [{ record: 0, text: "", last: true }]
}

/** A document a line, or between blank lines; numbered by the first line. */
async function* textItems({ path }: DataFile, from: number, joined: boolean) {
  let lines: string[] = []
  let record = 0
  const take = (): Item => {
    const text = lines.join("\n")
    lines = []
    return { record, text, last: true }
  }
  for await (const block of readBlocks(path, false)) {
    const items: Item[] = []
    for (const [number, line] of linesOf(block, from)) {
      if (block.wrong.includes(number)) items.push({ record: number, error: notUtf8(path, number) })
      const blank = line.trim() === ""
      if (blank && lines.length > 0) items.push(take())
      if (blank) continue
      if (lines.length === 0) record = number
      lines.push(line.replace(/\r$/, ""))
      if (!joined) items.push(take())
    }
    yield items
  }
  if (lines.length > 0) yield [take()]
}
