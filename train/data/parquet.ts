// Documents of a Parquet file: one column, which may lie in structs, a row group at a time, or fewer
// rows where the file has an index of its pages. hyparquet decodes, with every compression.
import type { AsyncBuffer, ColumnChunk, FileMetaData, RowGroup } from "hyparquet"
import { brief, show } from "../../model/json.ts"
import type { DataFile } from "./files.ts"
import { openParquet } from "./parquet_file.ts"
import { mostRows, type PagePlace, pagesOf } from "./parquet_pages.ts"
import { type Item, textItem, valueAt } from "./readers.ts"

/** Items of rows from `from` on, in the order of the file. */
export async function* readParquet(
  { path, key }: DataFile,
  from: number,
  rows: number,
): AsyncGenerator<Item[]> {
  const { parquetMetadataAsync } = await import("hyparquet")
  const file = await openParquet(path)
  try {
    const metadata = await parquetMetadataAsync(file).catch((error: Error) => {
      throw new SyntaxError(`Cannot read ${path}: ${reasonOf(error)}`)
    })
    const top = topOf(path, metadata, key)
    let start = 0
    for (const group of metadata.row_groups) {
      const count = Number(group.num_rows)
      const end = start + count
      if (end > from) yield* readGroup({ path, key, file, metadata, top, group, start, from, rows })
      start = end
    }
  } finally {
    await file.close()
  }
}

/** What a file says of itself may be damaged too: then a decoder's message says nothing. */
const reasonOf = (error: Error): string =>
  error instanceof TypeError || error instanceof RangeError
    ? "it is damaged: its parts do not fit together"
    : brief(error.message)

/** The column at the top in which the key's values lie. Throws RangeError where there is none. */
function topOf(path: string, { row_groups, schema }: FileMetaData, key: string): string {
  const columns = (row_groups[0]?.columns ?? []).flatMap(({ meta_data }) => meta_data ?? [])
  const paths = columns.map((column) => column.path_in_schema)
  const names =
    paths.length > 0 ? paths.map((p) => p.join(".")) : schema.slice(1).map((s) => s.name)
  const found = paths.find((p) => p.join(".") === key)
  if (found) return found[0] as string
  if (paths.length === 0 && names.includes(key)) return key
  throw new RangeError(`${path} has no column ${show(key)}, only ${show(names)}. Set text_key`)
}

interface Group {
  readonly path: string
  readonly key: string
  readonly file: AsyncBuffer
  readonly metadata: FileMetaData
  /** The column at the top, and where the group's rows begin. */
  readonly top: string
  readonly group: RowGroup
  readonly start: number
  readonly from: number
  /** Rows to decode at a time where the pages have an index. */
  readonly rows: number
}

async function* readGroup(read: Group): AsyncGenerator<Item[]> {
  const { path, key, file, metadata, top, group, start, from, rows } = read
  const { parquetReadObjects } = await import("hyparquet")
  const { compressors } = await import("hyparquet-compressors")
  const end = start + Number(group.num_rows)
  const damaged = (first: number, last: number, error: Error): Item[] => {
    const what = `${path} rows ${first} to ${last - 1} are damaged`
    return [{ record: first, error: new SyntaxError(`${what}: ${reasonOf(error)}`) }]
  }
  let isIndexed: boolean
  try {
    isIndexed = await checkGroup(read)
  } catch (error) {
    yield damaged(start, end, error as Error)
    return
  }
  const step = isIndexed ? rows : end - start
  const options = { file, metadata, compressors, columns: [top], useOffsetIndex: isIndexed }
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
async function checkGroup({ file, top, group }: Group): Promise<boolean> {
  const count = Number(group.num_rows)
  if (!(count >= 0 && count <= mostRows)) {
    throw new SyntaxError(`a row group has ${count} rows, expected at most ${mostRows}`)
  }
  let isIndexed = true
  for (const chunk of group.columns) {
    const { meta_data: column } = chunk
    if (column?.path_in_schema[0] !== top) continue
    const isRepeated = Number(column.num_values) !== count
    const pages = await pagesOf(file, column, isRepeated ? undefined : count)
    isIndexed &&= await isIndexedBy(file, chunk, pages)
  }
  return isIndexed
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
