// The chain of pages in a column of a Parquet file, checked before anything is decoded: each page lies
// in its column and after the one before, with no more values than rows. So a damaged header can send
// no decoder back to where it was, nor ask for memory that the file has no use for.
// Thrift's compact protocol: github.com/apache/thrift, doc/specs/thrift-compact-protocol.md; headers:
// github.com/apache/parquet-format, PageHeader in parquet.thrift.
import type { AsyncBuffer, ColumnMetaData } from "hyparquet"
import { Thrift, type ThriftStruct } from "./thrift.ts"

/** Most rows of a row group, and values of a page: files of text have a million at most. */
export const mostRows = 1 << 24
/** Most bytes of a page when it is unpacked. */
const mostPageBytes = 1 << 29
/** Bytes read for a header at first; statistics can make it longer. */
const window = 1 << 12

export interface PagePlace {
  /** Where its header begins in the file. */
  readonly offset: number
  /** Bytes of header and content. */
  readonly bytes: number
}

/**
 * The data pages of a column, in order. Throws SyntaxError that names the place where a header makes no
 * sense. `rows` are those of the row group, where each has one value; undefined for repeated columns.
 */
export async function pagesOf(
  file: AsyncBuffer,
  column: ColumnMetaData,
  rows: number | undefined,
): Promise<PagePlace[]> {
  const start = Number(column.dictionary_page_offset || column.data_page_offset)
  const end = start + Number(column.total_compressed_size)
  if (!(start >= 4 && end >= start && end <= file.byteLength)) {
    throw new SyntaxError(`its column lies at bytes ${start} to ${end} of ${file.byteLength}`)
  }
  const pages: PagePlace[] = []
  let values = 0
  for (let at = start; at < end; ) {
    const { header, bytes } = await headerAt(file, at, end)
    const content = checkHeader(header, at, end - at - bytes)
    if (content.values !== undefined) {
      values += content.values
      pages.push({ offset: at, bytes: bytes + content.bytes })
    }
    at += bytes + content.bytes
  }
  if (rows !== undefined && values !== rows) {
    throw new SyntaxError(`its pages hold ${values} values, expected ${rows}`)
  }
  return pages
}

async function headerAt(file: AsyncBuffer, at: number, end: number) {
  for (let size = window; ; size *= 8) {
    const stop = Math.min(at + size, end)
    const thrift = new Thrift(await file.slice(at, stop))
    try {
      return { header: thrift.struct(), bytes: thrift.offset }
    } catch (error) {
      if (stop < end && error instanceof RangeError) continue
      throw new SyntaxError(`the header of its page at byte ${at} is damaged`)
    }
  }
}

/** Bytes of a page's content, and its values where it is a page of data. */
function checkHeader(header: ThriftStruct, at: number, most: number) {
  const where = `the page at byte ${at}`
  const number = (struct: ThriftStruct, field: number, limit: number, what: string): number => {
    const value = struct.get(field)
    if (typeof value === "number" && value >= 0 && value <= limit) return value
    throw new SyntaxError(
      `${where} has ${typeof value === "number" ? value : "no"} ${what}, expected 0 to ${limit}`,
    )
  }
  const bytes = number(header, 3, most, "bytes")
  number(header, 2, mostPageBytes, "bytes when unpacked")
  const inside = (field: number): ThriftStruct | undefined => {
    const value = header.get(field)
    return value instanceof Map ? value : undefined
  }
  const [data, dictionary, second] = [inside(5), inside(7), inside(8)]
  if (dictionary) number(dictionary, 1, mostRows, "words")
  if (second) {
    const values = number(second, 1, mostRows, "values")
    number(second, 2, values, "nulls")
    number(second, 3, values, "rows")
    const levels = number(second, 5, bytes, "bytes of definition levels")
    number(second, 6, bytes - levels, "bytes of repetition levels")
    return { bytes, values }
  }
  return { bytes, values: data && number(data, 1, mostRows, "values") }
}
