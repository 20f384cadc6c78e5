// Sources of data for the fuzzer, in every format.
import { execFileSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import zlib from "node:zlib"
import { textPipeline } from "../../index.ts"
import { clean, type Kind, root } from "./kind.ts"

const texts = Array.from({ length: 60 }, (_, i) => `document ${i}: ${"né “a” ".repeat(i % 7)}`)
const json = texts.map((text, id) => JSON.stringify({ id, score: i32(id), text })).join("\n")
function i32(id: number): number {
  return (id * 7919) % 1000
}

async function useData(path: string): Promise<void> {
  for (const onError of ["skip", "stop"] as const) {
    const source = { fileName: path, textKey: path.includes("struct") ? "doc.text" : "text" }
    const limits = { sequenceLength: 64, minCharacters: 0, minTokens: 0, workers: 0 }
    const data = { sources: [source], tokenizer: "byte", onError, pack: true, ...limits }
    let count = 0
    for await (const _ of textPipeline(data, { epochs: 1 })) if (++count === 200) break
  }
}

const dataKind = (name: string, bytes: () => Uint8Array): Kind => ({
  name,
  files: [name],
  make: (folder) => writeFileSync(join(folder, name), bytes()),
  use: (folder) => useData(join(folder, name)),
})

/** By a process of its own: the test runner's loaders do not resolve the writer's imports. */
function parquet(options: object): Uint8Array {
  const script = `import { readFileSync } from "node:fs"
    import { parquetWriteBuffer } from "hyparquet-writer"
    process.stdout.write(Buffer.from(parquetWriteBuffer(JSON.parse(readFileSync(0, "utf8")))))`
  const args = ["--input-type=module", "-e", script]
  return execFileSync(process.execPath, args, {
    cwd: root,
    input: JSON.stringify(options),
    env: clean,
  })
}

const columns = [
  { name: "n", data: texts.map((_, i) => i), type: "INT32" },
  { name: "text", data: texts, type: "STRING" },
]
const struct = {
  columnData: [{ name: "doc", data: texts.map((text) => ({ text })) }],
  schema: [
    { name: "root", num_children: 1 },
    { name: "doc", num_children: 1, repetition_type: "OPTIONAL" },
    { name: "text", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
  ],
}
const indexed = columns.map((column) => ({ ...column, offsetIndex: true }))

export const dataKinds: readonly Kind[] = [
  dataKind("a.jsonl", () => Buffer.from(json)),
  dataKind("a.txt", () => Buffer.from(texts.join("\n\n"))),
  dataKind("a.jsonl.gz", () => zlib.gzipSync(json)),
  ...("zstdCompressSync" in zlib
    ? [dataKind("a.jsonl.zst", () => zlib.zstdCompressSync(Buffer.from(json)))]
    : []),
  dataKind("plain.parquet", () => parquet({ columnData: columns, codec: "UNCOMPRESSED" })),
  dataKind("snappy.parquet", () => parquet({ columnData: columns, rowGroupSize: 20 })),
  dataKind("pages.parquet", () =>
    parquet({ columnData: indexed, rowGroupSize: 30, pageSize: 100 }),
  ),
  dataKind("struct.parquet", () => parquet(struct)),
  {
    name: "data.yaml",
    files: ["data.yaml"],
    make(folder) {
      writeFileSync(join(folder, "b-01.jsonl"), json)
      const source = "{file_name: 'b-{file_id:02d}.jsonl', file_id_range: [1, 2], text_key: text}"
      const sources = `sources:\n  - &a ${source}\nvalidation: [*a]\n`
      const rest =
        "tokenizer: byte\nsequence_length: 64\nmin_tokens: 0\nmin_characters: 0\nworkers: 0\n"
      writeFileSync(
        join(folder, "data.yaml"),
        `${sources}${rest}seed: 3\npack: true\non_error: skip\n`,
      )
    },
    async use(folder) {
      let count = 0
      for await (const _ of textPipeline(join(folder, "data.yaml"), { epochs: 1 })) {
        if (++count === 50) break
      }
    },
  },
]
