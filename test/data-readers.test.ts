// Sources on disk: every format gives its documents in order, from any record on; what is damaged
// is an error that names the file and the place, or is skipped and counted.
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import zlib from "node:zlib"
import { type DataOptions, textPipeline } from "../train/data/index.ts"
import { type Item, readItems } from "../train/data/readers.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-readers-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const texts = Array.from({ length: 50 }, (_, i) => `document ${i}: ${"né “a” ".repeat(i % 7)}`)
const json = texts.map((text, id) => `${JSON.stringify({ id, text })}\n`).join("")
const hasZstd = "zstdCompressSync" in zlib

/** A Parquet file's bytes, written in a process of its own: the test runner's loaders, which children
 *  inherit by NODE_OPTIONS, do not resolve the writer's imports. */
function parquetWriteBuffer(options: object): Buffer {
  const script = `import { readFileSync } from "node:fs"
    import { parquetWriteBuffer } from "hyparquet-writer"
    const bytes = parquetWriteBuffer(JSON.parse(readFileSync(0, "utf8")))
    process.stdout.write(Buffer.from(bytes))`
  return execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    input: JSON.stringify(options),
    env: { ...process.env, NODE_OPTIONS: "" },
  })
}

const at = (name: string): string => join(dir, name)
function write(name: string, content: string | Uint8Array): string {
  writeFileSync(at(name), content)
  return at(name)
}

async function itemsOf(
  path: string,
  from = 0,
  documents: "file" | "paragraphs" | "lines" = "file",
  key = "text",
): Promise<Item[]> {
  const all: Item[] = []
  for await (const items of readItems({ path, key, documents }, from, 8)) all.push(...items)
  return all
}

const textsOf = (items: readonly Item[]): string[] =>
  items.map((item) => ("text" in item ? item.text : `(${item.error.message})`))

t.test("records in lines are the same plain and packed", async (t) => {
  const gzip = zlib.gzipSync(json)
  const half = json.indexOf("\n", json.length / 2) + 1
  const twoParts = [json.slice(0, half), json.slice(half)].map((part) => zlib.gzipSync(part))
  const paths = [
    write("a.jsonl", json),
    write("b.json", `\ufeff${json.trimEnd()}`),
    write("c.ndjson", json.replaceAll("\n", "\r\n\r\n")),
    write("d.jsonl.gz", gzip),
    write("e.json.gz", Buffer.concat(twoParts)),
  ]
  if (hasZstd) {
    const frames = [json.slice(0, half), json.slice(half)].map((part) =>
      zlib.zstdCompressSync(part),
    )
    paths.push(write("f.jsonl.zst", Buffer.concat(frames)))
  }
  for (const path of paths) {
    const items = await itemsOf(path)
    t.same(textsOf(items), texts, path)
    const from = (items[20] as Item).record
    t.same(await itemsOf(path, from), items.slice(20))
  }
})

t.test(
  "Zstandard without support in Node is a clear error",
  { skip: hasZstd && "Node has it" },
  async (t) => {
    const path = write("g.jsonl.zst", "anything")
    await t.rejects(itemsOf(path), /g\.jsonl\.zst: this version of Node \(v20.*22\.15 or later/)
  },
)

t.test("Parquet in each compression, with and without page index", async (t) => {
  const columns = [
    { name: "id", data: texts.map((_, i) => i), type: "INT32" as const },
    { name: "content", data: texts, type: "STRING" as const },
  ]
  for (const codec of ["UNCOMPRESSED", "SNAPPY"] as const) {
    for (const offsetIndex of [false, true]) {
      const columnData = columns.map((column) => ({ ...column, offsetIndex }))
      const buffer = parquetWriteBuffer({ columnData, rowGroupSize: 20, pageSize: 100, codec })
      const path = write("h.parquet", new Uint8Array(buffer))
      t.same(textsOf(await itemsOf(path, 0, "file", "content")), texts, `${codec} ${offsetIndex}`)
      const later = await itemsOf(path, 33, "file", "content")
      t.same(textsOf(later), texts.slice(33))
      t.equal(later[0]?.record, 33)
    }
  }
  await t.rejects(
    itemsOf(at("h.parquet")),
    /h\.parquet has no column "text", only \["id", "content"\]/,
  )
  const damaged = Buffer.from(parquetWriteBuffer({ columnData: columns }))
  await t.rejects(
    itemsOf(write("i.parquet", damaged.subarray(0, 100))),
    /Cannot read .*i\.parquet: /,
  )
  const data = texts.map((text, i) => (i % 20 === 15 ? null : text))
  const columnData = [{ name: "text", data, type: "STRING" as const }]
  const groups = Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: 20 }))
  const items = textsOf(await itemsOf(write("i.parquet", groups.fill(0xee, 60, 100))))
  t.match(items[0], /i\.parquet rows 0 to 19 are damaged: /)
  t.same(items.slice(1, 16), texts.slice(20, 35))
  t.match(items[16], /i\.parquet row 35: "text" is null, expected a text/)
  t.same(items.slice(17), texts.slice(36))
})

t.test("text is one document, paragraphs or lines, as asked", async (t) => {
  const text = "one\ntwo\n\n\nthree\r\nfour\n \nfive"
  const path = write("j.txt", text)
  const lines = ["one", "two", "three", "four", "five"]
  const paragraphs = ["one\ntwo", "three\nfour", "five"]
  t.same(textsOf(await itemsOf(path, 0, "lines")), lines)
  t.same(textsOf(await itemsOf(path, 0, "paragraphs")), paragraphs)
  t.same(
    (await itemsOf(path, 0, "paragraphs")).map(({ record }) => record),
    [1, 5, 8],
  )
  t.same(textsOf(await itemsOf(path, 5, "paragraphs")), paragraphs.slice(1))
  // Over a million bytes without a line break, characters of three bytes.
  const long = "€ 12".repeat(400_000)
  for (const content of [text, long, ""]) {
    const items = await itemsOf(write("k.txt.gz", zlib.gzipSync(content)))
    t.ok(textsOf(items).join("") === content)
    t.same(items.map((item) => "last" in item && item.last).indexOf(true), items.length - 1)
  }
  t.ok((await itemsOf(at("k.txt.gz"))).length < 3)
})

// ---- Damage ---------------------------------------------------------------------------------------

const damage: readonly (readonly [string, string | Uint8Array, RegExp, number])[] = [
  ["l.jsonl", `${json}{"text": "cut`, /l\.jsonl line 51 is not JSON: Unterminated string/, 50],
  ["m.jsonl", `[1]\n${json}`, /m\.jsonl line 1 is \[1\], expected an object/, 50],
  [
    "n.jsonl",
    `${json}{"txt": ""}\n`,
    /line 51 has no "text", only \["txt"\]\. Set textKey \(in files text_key\)/,
    50,
  ],
  ["o.jsonl", `{"text": 5}\n${json}`, /o\.jsonl line 1: "text" is 5, expected a text/, 50],
  [
    "p.jsonl",
    Buffer.concat([
      Buffer.from(json),
      Buffer.from('{"text": "\xff"}\n', "latin1"),
      Buffer.from(json),
    ]),
    /p\.jsonl line 51 is not UTF-8 text/,
    100,
  ],
  [
    "q.jsonl.gz",
    zlib.gzipSync(json).subarray(0, -30),
    /q\.jsonl\.gz is cut off after line \d+: /,
    40,
  ],
  ["r.jsonl.gz", "no gzip", /r\.jsonl\.gz is damaged before its first line: incorrect header/, 0],
]

for (const [name, content, message, left] of damage) {
  t.test(`damage in ${name} stops, or is skipped and counted`, async (t) => {
    const config: DataOptions = {
      sources: [write(name, content)],
      tokenizer: "byte",
      sequenceLength: 64,
      minCharacters: 0,
      minTokens: 0,
      workers: 0,
    }
    const read = async (changed: Partial<DataOptions>): Promise<unknown[]> => {
      const skips: string[] = []
      let count = 0
      const options = { epochs: 1, onSkip: (message: string) => skips.push(message) }
      const pipeline = textPipeline({ ...config, ...changed }, options)
      for await (const _ of pipeline) count++
      return [count >= left, skips.length, pipeline.skipped, message.test(skips[0] ?? "")]
    }
    await t.rejects(read({}), message)
    await t.rejects(read({ workers: 1 }), message, "from a thread")
    if (left === 0) {
      await t.rejects(read({ onError: "skip" }), /an epoch of the data has no sample/)
    } else {
      t.same(await read({ onError: "skip" }), [true, 1, 1, true])
      t.same(await read({ onError: "skip", workers: 1 }), [true, 1, 1, true])
    }
  })
}
