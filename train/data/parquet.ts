// Documents of a Parquet file: one column, a row group at a time, or fewer rows where the file has
// an index of its pages. hyparquet decodes, with every compression.
import type { FileMetaData } from "hyparquet"
import { show } from "../../model/json.ts"
import type { DataFile } from "./files.ts"
import { type Item, textItem } from "./readers.ts"

/** Items of rows from `from` on, in the order of the file. */
export async function* readParquet(
  { path, key }: DataFile,
  from: number,
  rows: number,
): AsyncGenerator<Item[]> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import(
    "hyparquet"
  )
  const { compressors } = await import("hyparquet-compressors")
  const unreadable = (error: Error): never => {
    throw new Error(`Cannot read ${path}: ${error.message}`)
  }
  const file = await asyncBufferFromFile(path).catch(unreadable)
  const metadata = await parquetMetadataAsync(file).catch(unreadable)
  const names = metadata.schema.slice(1).map(({ name }) => name)
  if (!names.includes(key)) {
    throw new RangeError(`${path} has no column ${show(key)}, only ${show(names)}. Set text_key`)
  }
  const read = { file, metadata, compressors, columns: [key], useOffsetIndex: true }
  for (const [start, end] of spans(metadata, key, rows)) {
    if (end <= from) continue
    const objects = await parquetReadObjects({ ...read, rowStart: start, rowEnd: end }).catch(
      (error: Error) => {
        const what = `${path} rows ${start} to ${end - 1} are damaged`
        return new SyntaxError(`${what}: ${error.message}`)
      },
    )
    if (objects instanceof Error) {
      yield [{ record: start, error: objects }]
      continue
    }
    const items = objects.map((row, i) =>
      textItem(`${path} row ${start + i}`, start + i, row[key], key, () => names),
    )
    yield items.filter(({ record }) => record >= from)
  }
}

/** Rows to decode at once: [first, behind the last). */
function* spans(metadata: FileMetaData, key: string, rows: number): Generator<[number, number]> {
  let start = 0
  for (const group of metadata.row_groups) {
    const column = group.columns.find(({ meta_data }) => meta_data?.path_in_schema[0] === key)
    const end = start + Number(group.num_rows)
    const step = column?.offset_index_length ? rows : end - start
    for (; start < end; start += step) yield [start, Math.min(start + step, end)]
    start = end
  }
}
