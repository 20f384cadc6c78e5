// Parquet files that are damaged or odd: what is whole in them is read, and the rest is an error in one
// message that names file and rows.
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { ColumnMetaData } from "hyparquet"
import { pagesOf } from "../model/files/parquet_pages.ts"
import { type Item, readItems } from "../train/data/readers.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-faults-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const at = (...names: string[]): string => join(dir, ...names)
const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(at(name), content)
  return at(name)
}

const itemsOf = async (path: string, key = "text"): Promise<Item[]> => {
  const all: Item[] = []
  for await (const items of readItems({ path, key, documents: "file" }, 0, 8)) all.push(...items)
  return all
}
const textsOf = async (path: string, key = "text"): Promise<string[]> =>
  (await itemsOf(path, key)).map((item) => ("text" in item ? item.text : item.error.message))

/** Written in a process of its own: the test runner's loaders do not resolve the writer's imports. */
function parquetWith(columnData: object[], schema: object[]): Buffer {
  const script = `import { readFileSync } from "node:fs"
    import { parquetWriteBuffer } from "hyparquet-writer"
    process.stdout.write(Buffer.from(parquetWriteBuffer(JSON.parse(readFileSync(0, "utf8")))))`
  return execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    input: JSON.stringify({ columnData, schema }),
    env: { ...process.env, NODE_OPTIONS: "" },
  })
}

t.test("text in a struct of Parquet is read by its path", async (t) => {
  const docs = [0, 1, 2].map((i) => ({ text: `number ${i}`, of: { lang: "en" } }))
  const text = { type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" }
  const struct = { repetition_type: "OPTIONAL" }
  const path = write(
    "struct.parquet",
    parquetWith(
      [
        { name: "id", data: [0, 1, 2] },
        { name: "doc", data: docs },
      ],
      [
        { name: "root", num_children: 2 },
        { name: "id", type: "INT32", repetition_type: "REQUIRED" },
        { name: "doc", num_children: 2, ...struct },
        { name: "text", ...text },
        { name: "of", num_children: 1, ...struct },
        { name: "lang", ...text },
      ],
    ),
  )
  t.same(await textsOf(path, "doc.text"), ["number 0", "number 1", "number 2"])
  t.same(await textsOf(path, "doc.of.lang"), ["en", "en", "en"])
  await t.rejects(textsOf(path), {
    name: "RangeError",
    message:
      /has no column "text", only \["id", "doc\.text", "doc\.of\.lang"\]\. Set textKey \(in files text_key\)/,
  })
})

t.test(
  "headers of Parquet pages that lead back, or ask for the impossible, are damage",
  async (t) => {
    const fixtures = fileURLToPath(new URL("../../test/fixtures/faults/", import.meta.url))
    const texts = await Promise.all(
      ["parquet-1178.parquet", "parquet-2013.parquet"].map((name) => itemsOf(join(fixtures, name))),
    )
    for (const items of texts) {
      const wrong = items.flatMap((item) => ("error" in item ? [item.error] : []))
      t.ok(wrong.length > 0 && items.length > wrong.length, "a row group is lost, others are read")
      for (const error of wrong) t.match(error.message, /parquet row(s \d+ to)? \d+/)
      t.ok(wrong.some(({ message }) => /are damaged: the page at byte \d+ has/.test(message)))
    }
    await t.rejects(itemsOf(join(fixtures, "parquet-15502.parquet")), {
      name: "SyntaxError",
      message: /parquet-15502\.parquet: its footer is damaged/,
    })
    // Every byte of the headers of the first column, changed in several ways: no hang, no crash.
    const sound = readFileSync(join(fixtures, "parquet-1178.parquet"))
    for (let at = 4; at < 40; at++) {
      for (const value of [0, 1, 0x15, 0x7f, 0x80, 0xff]) {
        const bytes = Buffer.from(sound)
        bytes[at] = value
        const found = await itemsOf(write("changed.parquet", bytes))
        t.ok(found.length > 0)
      }
    }
  },
)

t.test("of a struct's columns only the text's is decoded, whatever the others hold", async (t) => {
  const text = { type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" }
  const docs = Array.from({ length: 40 }, (_, i) => ({ text: `number ${i}`, lang: `en ${i}` }))
  const sound = parquetWith(
    [{ name: "doc", data: docs }],
    [
      { name: "root", num_children: 1 },
      { name: "doc", num_children: 2, repetition_type: "OPTIONAL" },
      { name: "lang", ...text },
      { name: "text", ...text },
    ],
  )
  const { parquetMetadataAsync } = await import("hyparquet")
  const copy = new Uint8Array(sound).buffer
  const { row_groups } = await parquetMetadataAsync(copy)
  /** The file with the packed bytes of a column, after the header of its page, overwritten. */
  const spoilt = (bytes: Uint8Array, name: string): Uint8Array => {
    const columns = row_groups[0]?.columns.map(({ meta_data }) => meta_data as ColumnMetaData)
    const column = columns?.find(({ path_in_schema }) => path_in_schema.includes(name))
    const end = Number(column?.data_page_offset) + Number(column?.total_compressed_size)
    return bytes.slice().fill(0xff, end - 200, end)
  }
  const one = spoilt(sound, "lang")
  const want = docs.map((doc) => doc.text)
  t.same(await textsOf(write("beside.parquet", one), "doc.text"), want)
  // A second column's failure had nobody to hear it, and ended the process.
  const both = spoilt(one, "text")
  t.match(await textsOf(write("both.parquet", both), "doc.text"), [/rows 0 to 39 are damaged/])
})

t.test("a page's header with a struct in a number's place is damage", async (t) => {
  // A page's bytes, field 3 of its header, as an empty struct.
  const bytes = Uint8Array.from([0x50, 0x41, 0x52, 0x31, 0x3c, 0, 0])
  const file = {
    byteLength: bytes.length,
    slice: async (from: number, to?: number) => bytes.slice(from, to).buffer,
  }
  const column = { data_page_offset: 4n, total_compressed_size: 3n } as ColumnMetaData
  await t.rejects(pagesOf(file, column, 1), {
    message: "the page at byte 4 has no bytes, expected 0 to 0",
  })
})
