// Configurations of data: defaults, YAML with merge keys, the release's layout, the published
// sources, and what is wrong said once and clearly.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { filesOf } from "../train/data/files.ts"
import { type DataOptions, loadDataConfig, textPipeline } from "../train/data/index.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-data-config-"))
t.teardown(() => rmSync(dir, { recursive: true }))

function write(name: string, text: string): string {
  const path = join(dir, name)
  writeFileSync(path, text)
  return path
}

t.test("defaults are the original's, and others where documents are packed", async (t) => {
  const { sources, root, tokenizer, ...rest } = await loadDataConfig({ sources: ["a.txt"] })
  t.same(sources, [{ fileName: "a.txt", textKey: "text", documents: "file" }])
  t.same([root, tokenizer], [process.cwd(), undefined])
  t.same(rest, {
    validation: [],
    holdOut: 0,
    sequenceLength: 2048,
    wordsPerPiece: 2048,
    minCharacters: 200,
    minTokens: 256,
    readerChunkSize: 1024,
    shuffleData: true,
    seed: 0,
    normalization: "ftfy",
    pack: false,
    shuffleWindows: 1024,
    onError: "stop",
    workers: 1,
    interleave: 1,
    shardBy: "files",
  })
  const packed = await loadDataConfig({ sources: ["a.txt"], pack: true, minTokens: 5 })
  t.match(packed, { minCharacters: 0, minTokens: 5, shardBy: "documents" })
})

t.test("YAML: merge keys, paths from the file's folder, a section of a larger file", async (t) => {
  const path = write(
    "own.yaml",
    `model: tiny
defaults: &books { text_key: content, documents: lines }
data:
  root: books
  tokenizer: own.model
  sources:
    - { <<: *books, file_name: "b-{file_id:03d}.txt", file_id_range: [8, 11] }
    - c.jsonl
`,
  )
  const config = await loadDataConfig(path)
  t.same([config.root, config.tokenizer], [join(dir, "books"), join(dir, "own.model")])
  t.match(config.sources[0], { textKey: "content", documents: "lines" })
  mkdirSync(join(dir, "books"))
  for (const name of ["b-008.txt", "b-009.txt", "b-010.txt", "c.jsonl", ".d.txt", "e.png"]) {
    writeFileSync(join(dir, "books", name), "text")
  }
  const names = async (options: DataOptions) =>
    (await filesOf(await loadDataConfig(options), "train")).map(({ path }) => basename(path))
  const want = ["b-008.txt", "b-009.txt", "b-010.txt", "c.jsonl"]
  t.same(await names(config), want)
  t.same(await names({ sources: [join(dir, "books")] }), want, "a folder")
})

t.test("the release's own layout is read", async (t) => {
  const path = write(
    "release.yaml",
    `dataset:
  train_batch_size0: 16
  language_modeling:
    sequence_length: 512
    min_tokens_per_text: 128
    min_characters_per_text: 100
    shuffle_data: true
    general_lm:
      train_data_info:
        - { file_name: "x-{file_id:05d}.parquet", text_key: content, file_id_range: [0, 3] }
text_tokenizer: { name: sentence_piece, sentence_piece: { model_path: llama.model } }
optim: { name: adamw }
`,
  )
  t.match(await loadDataConfig(path), {
    sequenceLength: 512,
    minTokens: 128,
    minCharacters: 100,
    tokenizer: join(dir, "llama.model"),
    sources: [{ textKey: "content", fileIdRange: [0, 3] }],
  })
})

t.test("the published sources are as many files as the release names", async (t) => {
  const folder = fileURLToPath(new URL("../../train/configs/data", import.meta.url))
  const counts: Record<string, number> = {}
  for (const name of readdirSync(folder)) {
    const config = await loadDataConfig(join(folder, name))
    t.match(config, { sequenceLength: 2048, minTokens: 256, minCharacters: 200, pack: false })
    const files = await filesOf({ ...config, onError: "skip" }, "train")
    counts[name] = files.length
    const [, width] = /file_id:0(\d)d/.exec(config.sources[0]?.fileName ?? "") ?? []
    t.match(basename(files[0]?.path ?? ""), "0".repeat(Number(width)), name)
  }
  const [pile, refinedweb, redpajama, dolma] = [1650, 5534, 100 + 1 + 98 + 1 + 1 + 1024, 258]
  const openelm = pile + refinedweb + redpajama + dolma
  t.same(counts, {
    "dolma.yaml": dolma,
    "openelm.yaml": openelm,
    "pile.yaml": pile,
    "redpajama.yaml": redpajama,
    "refinedweb.yaml": refinedweb,
  })
})

t.test("what is wrong is said by name", async (t) => {
  const wrong: readonly (readonly [unknown, RegExp, string])[] = [
    [5, /^data: the configuration is 5, expected an object with sources$/, "TypeError"],
    [{}, /^data: sources is missing. Add it$/, "TypeError"],
    [{ sources: [] }, /^data: sources is \[\], expected a list with at least one/, "RangeError"],
    [{ sources: [7] }, /^data: sources\[0\] is 7, expected a path, or an object/, "TypeError"],
    [{ sources: [{}] }, /^data: sources\[0\]\.fileName is missing/, "TypeError"],
    [
      { sources: [{ fileName: "a{file_id}.txt", fileIdRange: [3, 3] }] },
      /sources\[0\]\.fileIdRange is \[3, 3\], expected two whole numbers \[a, b\), a below b/,
      "RangeError",
    ],
    [{ sources: ["a.txt"], min_token: 3 }, /^data: there is no field min_token/, "RangeError"],
    [
      { sources: ["a.txt"], seed: 0.5 },
      /^data: seed is 0.5, expected a whole number/,
      "RangeError",
    ],
    [
      { sources: ["a.txt"], pack: "yes" },
      /^data: pack is "yes", expected true or false/,
      "TypeError",
    ],
    [
      { sources: ["a.txt"], normalization: "nfkc" },
      /normalization is "nfkc", expected "none" or "nfc" or "ftfy"/,
      "RangeError",
    ],
  ]
  for (const [options, message, name] of wrong) {
    await t.rejects(loadDataConfig(options as DataOptions), { message, name })
  }
  await t.rejects(loadDataConfig({ sources: ["a.txt"], on_error: "skip" } as never), {
    message: "data: there is no field on_error. It is onError",
  })
  const spelled = async (text: string, message: RegExp) =>
    t.rejects(loadDataConfig(write("spelled.yaml", text)), { message })
  await spelled(
    "sources: [a]\nonError: skip\n",
    /yaml: there is no field onError\. .* it is on_error$/,
  )
  await spelled("sources: [a]\nhold_out: 2\n", /spelled\.yaml: hold_out is 2, expected a number/)
  await spelled("sources: [a]\non_errors: skip\n", /no field on_errors\. Check its name/)
  await spelled(
    "sources: [{ file_name: 'a{file_id}' }]\n",
    /spelled\.yaml: file_name is "a\{file_id\}", expected a file_id_range beside it/,
  )
  await spelled("sources: &a { file_name: *a }\n", /spelled\.yaml: sources is /)
  const yaml = write("bad.yaml", "sources:\n  - a.txt\n  b: [\n")
  await t.rejects(loadDataConfig(yaml), {
    name: "SyntaxError",
    message: /bad\.yaml line \d is not YAML/,
  })
  await t.rejects(loadDataConfig(join(dir, "no.yaml")), /Cannot open .*no\.yaml: no such file/)
})

t.test("files that are not there, and options that make no sense", async (t) => {
  const next = (source: object | string, options = {}): Promise<unknown> =>
    textPipeline({ sources: [source], root: dir, tokenizer: "byte" } as DataOptions, options).next()
  await t.rejects(
    next("none.txt"),
    /Cannot read .*none\.txt: no such file. Check fileName \(in files file_name\) .* onError \(in files on_error\) to "skip"/,
  )
  await t.rejects(next("a.doc"), /Cannot read .*a\.doc: no such file/)
  const binary = Uint8Array.from([0x4d, 0x5a, 0xff, 0xfe])
  await t.rejects(next(write("a.doc", binary as never)), /a\.doc line 1 is not UTF-8 text/)
  await t.rejects(next({ fileName: "{file_id}.txt" }), /expected a fileIdRange beside it/)
  await t.rejects(next({ fileName: "{id}.txt" }), /expected no braces but \{file_id\}/)
  await t.rejects(
    next("x.txt", { split: "validation" }),
    /^data: validation is empty, expected sources; or set holdOut \(in files hold_out\)/,
  )
  await t.rejects(next("x.txt", { rank: 2, worldSize: 2 }), /rank is 2, expected an integer from 0/)
  const path = write("x.txt", "some text")
  await t.rejects(
    textPipeline(path).next(),
    /^data: tokenizer is missing, expected a tokenizer\.model/,
  )
})

t.test("validation is read once, in order, by nobody twice", async (t) => {
  const texts = Array.from({ length: 9 }, (_, i) => `${i} `.repeat(40))
  const paths = texts.map((text, i) => write(`v-${i}.txt`, text))
  const config: DataOptions = {
    sources: ["x.txt"],
    validation: paths,
    root: dir,
    tokenizer: "byte",
    sequenceLength: 40,
    minTokens: 0,
    minCharacters: 0,
    wordsPerPiece: 20,
  }
  for (const pack of [false, true]) {
    for (const workers of [0, 2]) {
      const found: string[] = []
      const options = { split: "validation", workers } as const
      for await (const { inputs } of textPipeline({ ...config, pack }, options)) {
        found.push(String.fromCharCode(...inputs.filter((id) => id < 256)))
      }
      const digits = found.join("").replaceAll(" ", "")
      const want = texts.join("").replaceAll(" ", "")
      if (workers === 0) t.equal(digits, want)
      else t.equal([...digits].sort().join(""), want)
    }
  }
})
