// Documents of a Parquet file: one column, which may lie in structs, a row group at a time, or fewer
// rows where the file has an index of its pages. hyparquet decodes, with every compression.
import type {
  AsyncBuffer,
  ColumnChunk,
  FileMetaData,
  RowGroup,
  SchemaElement,
  SchemaTree,
} from "hyparquet"
import { openParquet, parquetFault } from "../../model/files/parquet_file.ts"
import { mostRows, type PagePlace, pagesOf } from "../../model/files/parquet_pages.ts"
import { show } from "../../model/json.ts"
import { inEither } from "../spelling.ts"
import type { DataFile } from "./files.ts"
import { type Item, textItem, valueAt } from "./readers.ts"

/** Items of rows from `from` on, in the order of the file. */
export async function* readParquet(
  { path, key }: DataFile,
  from: number,
  rows: number,
): AsyncGenerator<Item[]> {
  const { parquetMetadataAsync, parquetSchema } = await import("hyparquet")
  const file = await openParquet(path)
  try {
    const whole = await parquetMetadataAsync(file).catch((error: Error) => {
      throw new SyntaxError(`Cannot read ${path}: ${parquetFault(error)}`)
    })
    const names = pathOf(path, whole, key)
    const schema = schemaOf(path, parquetSchema(whole), names)
    const metadata = { ...whole, schema, row_groups: whole.row_groups.map(only(names)) }
    let start = 0
    for (const group of metadata.row_groups) {
      const count = Number(group.num_rows)
      const end = start + count
      if (end > from) yield* readGroup({ path, key, file, metadata, group, start, from, rows })
      start = end
    }
  } finally {
    await file.close()
  }
}

/** The names that lead to the column of a key. Throws RangeError where there is none. */
function pathOf(
  path: string,
  { row_groups, schema }: FileMetaData,
  key: string,
): readonly string[] {
  const columns = (row_groups[0]?.columns ?? []).flatMap(({ meta_data }) => meta_data ?? [])
  const paths = columns.map((column) => column.path_in_schema)
  const names =
    paths.length > 0 ? paths.map((p) => p.join(".")) : schema.slice(1).map((s) => s.name)
  const found = paths.find((p) => p.join(".") === key)
  if (found) return found
  if (paths.length === 0 && names.includes(key)) return [key]
  throw new RangeError(
    `${path} has no column ${show(key)}, only ${show(names)}. Set ${inEither("textKey")}`,
  )
}

/** The part of a schema that leads to one column. What lies beside it is not decoded: its damage is no
 *  damage here, and a decoder of several columns leaves the failures of all but one unheard. */
function schemaOf(path: string, tree: SchemaTree, names: readonly string[]): SchemaElement[] {
  const schema: SchemaElement[] = [{ ...tree.element, num_children: 1 }]
  let inner = tree
  for (const name of names) {
    const child = inner.children.find(({ element }) => element.name === name)
    if (!child) throw new SyntaxError(`Cannot read ${path}: its schema lacks ${show(name)}`)
    const isLeaf = child.children.length === 0
    schema.push(isLeaf ? child.element : { ...child.element, num_children: 1 })
    inner = child
  }
  return schema
}

/** A row group with one of its columns. */
const only =
  (names: readonly string[]) =>
  (group: RowGroup): RowGroup => {
    const key = JSON.stringify(names)
    const isIt = ({ meta_data }: ColumnChunk) => JSON.stringify(meta_data?.path_in_schema) === key
    return { ...group, columns: group.columns.filter(isIt) }
  }

interface GroupOfRows {
  readonly path: string
  readonly key: string
  readonly file: AsyncBuffer
  readonly metadata: FileMetaData
  /** With one column, as in the metadata, and where its rows begin. */
  readonly group: RowGroup
  readonly start: number
  readonly from: number
  /** Rows to decode at a time where the pages have an index. */
  readonly rows: number
}

async function* readGroup(read: GroupOfRows): AsyncGenerator<Item[]> {
  const { path, key, file, metadata, group, start, from, rows } = read
  const { parquetReadObjects } = await import("hyparquet")
  const { compressors } = await import("hyparquet-compressors")
  const end = start + Number(group.num_rows)
  const damaged = (first: number, last: number, error: Error): Item[] => {
    const what = `${path} rows ${first} to ${last - 1} are damaged`
    return [{ record: first, error: new SyntaxError(`${what}: ${parquetFault(error)}`) }]
  }
  let isIndexed: boolean
  try {
    isIndexed = await checkGroup(read)
  } catch (error) {
    yield damaged(start, end, error as Error)
    return
  }
  const step = isIndexed ? rows : end - start
  const options = { file, metadata, compressors, useOffsetIndex: isIndexed }
  for (let first = start; first < end; first += step) {
    const last = Math.min(first + step, end)
    if (last <= from) continue
    const objects = await parquetReadObjects({ ...options, rowStart: first, rowEnd: last }).catch(
      (error: Error) => error,
    )
    if (objects instanceof Error) {
      yield damaged(first, last, objects)
      continue
    }
    const items = objects.map((row, i) => {
      const keys = () => Object.keys(row)
      return textItem(`${path} row ${first + i}`, first + i, valueAt(row, key), key, keys)
    })
    yield items.filter(({ record }) => record >= from)
  }
}

/** Checks what is going to be decoded; returns whether there is an index of the pages, and sound. */
async function checkGroup({ file, key, group }: GroupOfRows): Promise<boolean> {
  const count = Number(group.num_rows)
  if (!(count >= 0 && count <= mostRows)) {
    throw new SyntaxError(`a row group has ${count} rows, expected at most ${mostRows}`)
  }
  const [chunk, ...more] = group.columns
  const column = chunk?.meta_data
  if (!column || more.length > 0) {
    throw new SyntaxError(`it has ${group.columns.length} columns ${show(key)}, expected one`)
  }
  const isRepeated = Number(column.num_values) !== count
  const pages = await pagesOf(file, column, isRepeated ? undefined : count)
  return isIndexedBy(file, chunk, pages)
}

/** Whether a column's index names the pages that there are. */
async function isIndexedBy(
  file: AsyncBuffer,
  { offset_index_offset: at, offset_index_length: length }: ColumnChunk,
  pages: readonly PagePlace[],
): Promise<boolean> {
  if (!at || !length) return false
  const { readOffsetIndex } = await import("hyparquet")
  try {
    const buffer = await file.slice(Number(at), Number(at) + length)
    const index = readOffsetIndex({ view: new DataView(buffer), offset: 0 }).page_locations
    return (
      index.length === pages.length &&
      pages.every(({ offset, bytes }, i) => {
        const place = index[i]
        return Number(place?.offset) === offset && place?.compressed_page_size === bytes
      })
    )
  } catch {
    return false
  }
}
