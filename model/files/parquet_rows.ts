// All columns of a Parquet file, a row group at a time; the chains of their pages are checked first.
import type { AsyncBuffer, RowGroup } from "hyparquet"
import { isObject } from "../json.ts"
import { openParquet, parquetFault } from "./parquet_file.ts"
import { mostRows, pagesOf } from "./parquet_pages.ts"

/** The rows in order. Throws SyntaxError that names the file, and the rows, where they are damaged. */
export async function readRows(path: string): Promise<unknown[]> {
  const { parquetMetadataAsync, parquetReadObjects } = await import("hyparquet")
  const { compressors } = await import("hyparquet-compressors")
  const file = await openParquet(path)
  try {
    const metadata = await parquetMetadataAsync(file).catch((error: Error) => {
      throw new SyntaxError(`Cannot read ${path}: ${parquetFault(error)}`)
    })
    const rows: unknown[] = []
    for (const group of metadata.row_groups) {
      const rowStart = rows.length
      const rowEnd = rowStart + Number(group.num_rows)
      try {
        await checkPages(file, group)
        const options = { file, metadata, compressors, rowStart, rowEnd }
        rows.push(...(await parquetReadObjects(options)).map(plain))
      } catch (error) {
        const reason = parquetFault(error as Error)
        throw new SyntaxError(`${path} rows ${rowStart + 1} to ${rowEnd} are damaged: ${reason}`)
      }
      if (rows.length !== rowEnd) {
        throw new SyntaxError(
          `${path} has ${rows.length - rowStart} rows from row ${rowStart + 1} on`,
        )
      }
    }
    return rows
  } finally {
    await file.close()
  }
}

async function checkPages(file: AsyncBuffer, group: RowGroup): Promise<void> {
  const count = Number(group.num_rows)
  if (!(count >= 0 && count <= mostRows)) {
    throw new SyntaxError(`a row group has ${count} rows, expected at most ${mostRows}`)
  }
  for (const { meta_data: column } of group.columns) {
    if (!column) throw new SyntaxError("a column has no place")
    const isRepeated = Number(column.num_values) !== count
    await pagesOf(file, column, isRepeated ? undefined : count)
  }
}

/** A value as JSON has it: whole numbers of 64 bits are numbers. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value)
  if (Array.isArray(value)) return value.map(plain)
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, x]) => [key, plain(x)]))
}
