// The documents of a task: rows found, read once for all tasks that share them, and checked.
import { type Row, rowsOf } from "../../model/files/rows.ts"
import { hubSettings } from "../../model/index.ts"
import { show } from "../../model/json.ts"
import type { Document, Source, Splits, Task } from "../types.ts"
import { filesOf } from "./find.ts"

/** A row as a task reads it. */
export interface Item<D = Document> {
  readonly row: Document
  readonly document: D
  /** File and row, for messages. */
  readonly place: string
}

/** What is read of a folder of data while an evaluation lasts. */
interface Library {
  /** The documents of a split, in order. Throws MissingData where no file is found; Error, SyntaxError,
   *  TypeError or RangeError that names file, row and column where one is wrong. */
  items(task: Task, split: string): Promise<readonly Item[]>
}

/** No file of a split was found. */
export class MissingData extends Error {}

/** The split that is evaluated, of the names that a task has for them. */
export function evaluatedSplit({ name, source: { splits } }: Task): string {
  const split = splits.test ?? splits.validation
  if (split !== undefined) return split
  throw new RangeError(`${name} has neither a test nor a validation split`)
}

/** The split that examples are drawn from. */
export const poolSplit = ({ fewshot, training, validation, test }: Splits): string =>
  (fewshot ?? training ?? validation ?? test) as string

/** `data`: the folder, by default the cache of the hub; `notice` gets what is unusual, and no error, once. */
export function openLibrary(data: string | undefined, notice: (text: string) => void): Library {
  const files = new Map<string, Promise<readonly Row[]>>()
  const rowsOnce = (path: string): Promise<readonly Row[]> => {
    const found = files.get(path) ?? rowsOf(path)
    files.set(path, found)
    return found
  }
  return {
    async items(task, split) {
      const { source } = task
      const placed = source.rows
        ? inline(task, source.rows, split)
        : await fromFiles(task, split, await placesOf(task, split, data), rowsOnce)
      const items = placed.flatMap(({ row, place }) => itemOf(source, row, place))
      if (items.length === 0) {
        throw new MissingData(
          `${task.name}: ${placesText(placed)} has no rows of it. Add them, or leave the task out`,
        )
      }
      const isPart = items.length < placed.length
      const count = source.isShared && !isPart ? undefined : source.counts?.[split]
      if (count !== undefined && count !== placed.length) {
        notice(
          `${placesText(placed)} has ${placed.length} rows, the published ${split} split ${count}: ` +
            "scores do not compare with published ones",
        )
      }
      return source.order ? source.order(items) : items
    },
  }
}

interface Placed {
  readonly row: Document
  /** File and row. */
  readonly place: string
  readonly file: string
}

function inline(task: Task, rows: NonNullable<Source["rows"]>, split: string): Placed[] {
  const found = rows[split]
  if (!found) throw new RangeError(`${task.name} has no rows of the split ${show(split)}`)
  const file = `${task.name}: ${split}`
  return found.map((row, i) => ({ row, file, place: `${file} row ${i + 1}` }))
}

async function placesOf(
  task: Task,
  split: string,
  data: string | undefined,
): Promise<readonly string[]> {
  const named = task.source.paths?.[split]
  if (named) return named
  const { folders = [task.name], hub = [], ...rest } = task.source
  // What was downloaded is in the cache of the hub, which has no folders of tasks.
  const place = { ...rest, hub, folders: data === undefined ? [] : folders }
  const folder = data ?? hubSettings().cache
  const files = await filesOf(folder, place, split)
  if (files.length > 0) return files
  throw new MissingData(`${task.name}: ${missingText(task, split, folder, data !== undefined)}`)
}

function missingText({ name, source }: Task, split: string, folder: string, isGiven: boolean) {
  const { folders = [name], hub: [repository] = [] } = source
  const expected = `${folders.join(" or ")}/${split}.jsonl, .json or .parquet`
  if (isGiven) {
    return `there is no ${expected} in ${folder}${repository ? `, or the hub's ${repository}` : ""}`
  }
  if (repository === undefined) return `give the folder that its ${expected} is in as data`
  const download = `Download it (elm eval download ${name})`
  return `${repository} is not in ${folder}. ${download}, or give the folder that it is in as data`
}

async function fromFiles(
  task: Task,
  split: string,
  files: readonly string[],
  rowsOnce: (path: string) => Promise<readonly Row[]>,
): Promise<Placed[]> {
  const placed: Placed[] = []
  for (const file of files) {
    for (const { number, row } of await rowsOnce(file)) {
      placed.push({ row, file, place: `${file} row ${number}` })
    }
  }
  if (placed.length > 0) return placed
  throw new MissingData(`${task.name}: the split ${split} has no rows`)
}

function itemOf(source: Source, row: Document, place: string): Item[] {
  try {
    const document = source.read(row)
    return document === undefined ? [] : [{ row, document, place }]
  } catch (error) {
    const { message } = error as Error
    const kinds = [TypeError, RangeError, SyntaxError]
    const Kind = kinds.find((kind) => error instanceof kind) ?? Error
    throw new Kind(`${place}: ${message}`, { cause: error })
  }
}

const placesText = (placed: readonly Placed[]): string =>
  [...new Set(placed.map(({ file }) => file))].join(" and ")
