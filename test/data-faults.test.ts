// Sources that are odd, damaged or hostile: each is read as it was meant, or refused in one message
// that names file and field, in a time and a memory that its size explains.
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { readText } from "../train/data/blocks.ts"
import { loadDataConfig } from "../train/data/config.ts"
import { filesOf } from "../train/data/files.ts"
import { type DataOptions, textPipeline } from "../train/data/index.ts"
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

const names = async (sources: DataOptions["sources"], onError: "stop" | "skip" = "stop") => {
  const config = await loadDataConfig({ sources, root: dir, onError })
  return (await filesOf(config, "train")).map(({ path }) => path.slice(dir.length + 1))
}

// ---- gzip ---------------------------------------------------------------------------------------

const record = (text: string): string => `${JSON.stringify({ text })}\n`

t.test("gzip members are read to the end, whatever zeros lie between them", async (t) => {
  const [one, two] = [gzipSync(record("one")), gzipSync(record("two"))]
  for (const zeros of [0, 1, 7, 511, 4096, (1 << 18) - one.length, 1 << 18, (1 << 18) + 1]) {
    const gap = Buffer.alloc(zeros)
    const path = write("a.jsonl.gz", Buffer.concat([one, gap, two, gap, one, gap]))
    t.same(await textsOf(path), ["one", "two", "one"], `${zeros} zeros`)
  }
  // A member that ends where a block of reading does.
  const noise = Buffer.from(Array.from({ length: 400_000 }, (_, i) => 97 + ((i * i * 7 + i) % 23)))
  const large = gzipSync(record(noise.toString()), { level: 0 })
  for (const size of [large.length - 1, large.length, large.length + 1]) {
    const pad = Buffer.alloc((1 << 19) - size)
    const path = write("b.jsonl.gz", Buffer.concat([large, pad, one]))
    t.same(
      (await textsOf(path)).map(({ length }) => length),
      [400_000, 3],
      `${size}`,
    )
  }
})

t.test("what follows a gzip member and is none is an error", async (t) => {
  for (const zeros of [0, 1, 5000]) {
    const parts = [gzipSync(record("one")), Buffer.alloc(zeros), Buffer.from("rubbish")]
    const path = write("c.jsonl.gz", Buffer.concat(parts))
    await t.rejects(textsOf(path), /c\.jsonl\.gz is damaged .*incorrect header/, `${zeros} zeros`)
    const cut = gzipSync(record("two")).subarray(0, 12)
    const short = write("d.jsonl.gz", Buffer.concat([...parts.slice(0, 2), cut]))
    await t.rejects(textsOf(short), /d\.jsonl\.gz is cut off/, `${zeros} zeros`)
  }
})

// ---- Folders and names ----------------------------------------------------------------------------

t.test("a folder's files are read once, whatever links lead to them", async (t) => {
  mkdirSync(at("folder", "inner"), { recursive: true })
  mkdirSync(at("beside"))
  write("folder/a.txt", "a")
  write("folder/inner/b.md", "b")
  write("beside/c.jsonl", record("c"))
  write("folder/picture.png", "no text")
  write("folder/.hidden.txt", "hidden")
  symlinkSync(at("folder"), at("folder", "self"))
  symlinkSync(at("folder"), at("folder", "inner", "up"))
  symlinkSync(at("folder", "a.txt"), at("folder", "z.txt"))
  symlinkSync(at("beside"), at("folder", "other"))
  t.same(await names(["folder"]), ["folder/a.txt", "folder/inner/b.md", "folder/other/c.jsonl"])
  symlinkSync(at("gone.txt"), at("folder", "y.txt"))
  await t.rejects(names(["folder"]), /Cannot read .*y\.txt: no such file/, "a link to nothing")
})

t.test("a file of any name is text when it is named", async (t) => {
  const path = write("notes.of-mine", "some text")
  t.same(await names(["notes.of-mine"]), ["notes.of-mine"])
  t.equal((await textsOf(path)).join(""), "some text")
})

t.test("a pipe is no source of data", { skip: process.platform === "win32" }, async (t) => {
  execFileSync("mkfifo", [at("pipe.txt")])
  await t.rejects(names(["pipe.txt"]), { message: /pipe\.txt is neither a file nor a folder/ })
  await t.rejects(readText(at("pipe.txt")), { message: /pipe\.txt: it is not a plain file/ })
  await t.rejects(readText("/dev/zero"), { message: /zero: it is not a plain file/ })
  await t.rejects(readText(at("folder")), { message: /folder: it is a folder/ })
  await t.rejects(loadDataConfig(at("pipe.txt").replace("txt", "yaml")), /no such file/)
  execFileSync("mkfifo", [at("pipe.yaml")])
  await t.rejects(loadDataConfig(at("pipe.yaml")), /pipe\.yaml: it is not a plain file/)
})

t.test("numbers of files are bounded, and nothing is made of those beyond", async (t) => {
  const numbered = (fileName: string, to: number) => [
    { fileName, fileIdRange: [0, to] as [number, number] },
  ]
  for (const onError of ["stop", "skip"] as const) {
    await t.rejects(names(numbered("{file_id}.txt", 1e9), onError), {
      message:
        /^data: fileIdRange is \[0, 1000000000\] of "\{file_id\}\.txt", expected at most 131072/,
    })
    await t.rejects(names(numbered("{file_id:0400000000d}.txt", 2), onError), {
      message: /expected at most 20 digits in "\{file_id:0400000000d\}"/,
    })
  }
  await t.rejects(names(numbered("none{file_id:05d}.txt", 100_000)), /none00000\.txt: no such file/)
})

// ---- YAML -----------------------------------------------------------------------------------------

t.test("YAML that is deep, large or full of aliases is refused by name", async (t) => {
  const nine = (what: string): string => `[${Array(9).fill(what).join(",")}]`
  const bomb = "bcdefghij".split("").map((c, i) => `${c}: &${c} ${nine(`*${"abcdefghij"[i]}`)}`)
  const cases: [string, RegExp][] = [
    [`a: &a ${nine("x")}\n${bomb.join("\n")}`, /is not YAML: Excessive alias count/],
    ["[".repeat(20_000), /is not YAML: it is nested too deeply/],
    [`sources: ${"- ".repeat(50_000)}a`, /is not YAML|sources is/],
    [`sources: [${"a.txt,".repeat(300_000)}]`, /has \d+ bytes, expected at most 1048576/],
  ]
  for (const [text, message] of cases) {
    const path = write("hostile.yaml", text)
    await t.rejects(loadDataConfig(path), {
      message: new RegExp(`hostile\\.yaml.*${message.source}`, "s"),
    })
  }
})

// ---- Records --------------------------------------------------------------------------------------

t.test("numbers that Python writes and JSON lacks do not hide the text beside them", async (t) => {
  const lines = [
    '{"text": "one", "score": NaN}',
    '{"score": -Infinity, "text": "says NaN, -Infinity and \\"Infinity\\"", "of": [NaN, 1e5]}',
    '{"text": "three", "score": Infinity}',
  ]
  const want = ["one", 'says NaN, -Infinity and "Infinity"', "three"]
  t.same(await textsOf(write("nan.jsonl", lines.join("\n"))), want)
  const wrong = ['{"text": NaN}', '{"text": "a", "b": nan}', '{"text": "a", "b": xNaN}']
  for (const line of wrong) {
    const [item] = await itemsOf(write("wrong.jsonl", line))
    t.match((item as { error: Error }).error?.message, /wrong\.jsonl line 1/, line)
  }
})

t.test("a key may lead into objects", async (t) => {
  const line = '{"doc": {"text": "inside"}, "a.b": "at the top", "a": {"b": "not this"}}'
  const path = write("nested.jsonl", line)
  t.same(await textsOf(path, "doc.text"), ["inside"])
  t.same(await textsOf(path, "a.b"), ["at the top"])
  t.match(await textsOf(path, "doc.none"), [
    /line 1 has no "doc\.none", only \["doc", "a\.b", "a"\]/,
  ])
})

// ---- Names from files -----------------------------------------------------------------------------

t.test("what is named in a message is printable, and short", async (t) => {
  const field = write("field.yaml", `sources: [a.txt]\n"\\e[2J${"x".repeat(500)}": 1`)
  await t.rejects(loadDataConfig(field), { message: /no field \\u001b\[2Jx{80,99}…\. Check/ })
  const sources = write("name.yaml", 'sources: ["\\e[2J.txt"]')
  const read = async () => filesOf(await loadDataConfig(sources), "train")
  await t.rejects(read(), { message: /Cannot read .*\\u001b\[2J\.txt: no such file/ })
  t.match(await textsOf(write("escape.jsonl", "\x1b[2J")), [
    /escape\.jsonl line 1 is not JSON: Unexpected token '\\u001b'/,
  ])
})

t.test("data without a sample is named", async (t) => {
  const one = { sources: [write("short.txt", "")], tokenizer: "byte", workers: 0 }
  await t.rejects(textPipeline(one).next(), {
    message:
      /every document of .*short\.txt is shorter than minCharacters \(in files min_characters\) \d+/,
  })
  const two = { ...one, sources: [...one.sources, write("shorter.txt", "")] }
  await t.rejects(textPipeline(two).next(), { message: /txt, first of 2 files, is shorter/ })
})
