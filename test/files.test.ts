// Trees of files: on a disk, at a URL and in a page, one like the other; and what a server says of
// files that it lacks.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { loadTokenizer, OpenELM, open, scaledConfig } from "../index.ts"
import { contentOf, type FileTree, openFile, tokenizersIn, treeOf } from "../model/index.ts"
import { fixture } from "./fixtures.ts"
import { type Circumstance, serveFolder, status } from "./server.ts"
import t, { type Test } from "./tap.ts"

const backend = await open("wasm", { threads: 1 })
const folder = mkdtempSync(join(tmpdir(), "openelm-tree-"))
t.teardown(async () => {
  await backend.close()
  rmSync(folder, { recursive: true })
})
const sizes = { layers: 1, modelDim: 32, headDim: 16, vocabSize: 259, maxContext: 32 }
const made = await OpenELM.random(scaledConfig(sizes), { backend, tokenizer: "byte" })
await made.save(folder)
await made.close()

const logits = async (folder: Parameters<typeof OpenELM.load>[0]): Promise<Float32Array> => {
  await using model = await OpenELM.load(folder, { backend })
  return model.logits([[1, 2, 3]])
}
const want = await logits(folder)

// ---- In a page ----------------------------------------------------------------------------------

const modelFiles = ["config.json", "model.safetensors", "tokenizer.json"] as const

/** Files as a picker of files gives them, or, with a folder's name, one of folders. */
function chosen(names: readonly string[], top?: string): File[] {
  return names.map((name) => {
    const file = new File([readFileSync(join(folder, name))], name.split("/").at(-1) as string)
    if (top !== undefined) {
      Object.defineProperty(file, "webkitRelativePath", { value: `${top}/${name}` })
    }
    return file
  })
}

/** As much of a folder's handle as there is outside of browsers. */
function handleOf(path: string): FileSystemDirectoryHandle {
  const missing = (name: string) => new DOMException(`no ${name}`, "NotFoundError")
  return {
    kind: "directory",
    name: "made",
    async getFileHandle(name: string) {
      if (!existsSync(join(path, name))) throw missing(name)
      return { getFile: async () => new File([readFileSync(join(path, name))], name) }
    },
    async getDirectoryHandle(name: string) {
      if (!existsSync(join(path, name))) throw missing(name)
      return handleOf(join(path, name))
    },
  } as unknown as FileSystemDirectoryHandle
}

t.test("files of a page make the model of the folder", async (t) => {
  t.same(await logits(chosen(modelFiles)), want, "a list")
  t.same(await logits(chosen(modelFiles, "made")), want, "a chosen folder")
  t.same(await logits(handleOf(folder)), want, "a folder's handle")
  t.same(await logits(join(folder, "model.safetensors")), want, "a file, what is beside it with it")
  await using model = await OpenELM.load(chosen(modelFiles), { backend, tokenizer: null })
  t.equal(model.tokenizer, undefined)
  const [tokenizer] = chosen(["tokenizer.json"])
  t.equal((await loadTokenizer([tokenizer as File])).vocabSize, 259, "a single file")
  t.equal((await loadTokenizer(handleOf(folder))).vocabSize, 259)
  await t.rejects(logits(chosen(["config.json", "tokenizer.json"])), {
    message: /the list of files has neither model\.safetensors nor model\.safetensors\.index\.json/,
  })
  await t.rejects(logits(chosen(["model.safetensors", "tokenizer.json"], "mine")), {
    message: "Cannot open mine/config.json: no such file among those given. Add it",
  })
  await t.rejects(logits([...chosen(["config.json"]), ...chosen(["config.json"])]), {
    name: "RangeError",
    message: /two of the files are named config\.json/,
  })
  await t.rejects(logits([]), { name: "TypeError", message: /load: the folder must be a path/ })
  await t.rejects(logits([3] as never), { name: "TypeError", message: /got an array/ })
  await t.rejects(logits(""), { name: "RangeError", message: /load: the folder is empty/ })
})

// ---- One like the other -------------------------------------------------------------------------

const names = ["small.json", "sub/part.bin"] as const

function someFolder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), "openelm-files-"))
  t.teardown(() => rmSync(path, { recursive: true }))
  mkdirSync(join(path, "sub"))
  writeFileSync(join(path, names[0]), '{"a": 1}')
  writeFileSync(
    join(path, names[1]),
    Uint8Array.from({ length: 100 }, (_, i) => i),
  )
  return path
}

const listOf = (path: string): File[] =>
  names.map((name) => {
    const file = new File([readFileSync(join(path, name))], name)
    Object.defineProperty(file, "webkitRelativePath", { value: `top/${name}` })
    return file
  })

const trees: readonly [string, (t: Test, path: string) => FileTree | Promise<FileTree>][] = [
  ["a disk", (_, path) => treeOf(path)],
  ["a file: URL", (_, path) => treeOf(new URL(`file://${path}`))],
  ["http", async (t, path) => treeOf((await serveFolder(t, path)).url)],
  ["a list of files", (_, path) => treeOf(listOf(path))],
  ["a folder's handle", (_, path) => treeOf(handleOf(path))],
]

for (const [label, make] of trees) {
  t.test(`a tree on ${label} has its files, opens them in parts, and nothing else`, async (t) => {
    const tree = await make(t, someFolder(t))
    t.equal(tree.file, undefined)
    t.same(await Promise.all([...names, "none.json"].map((n) => tree.has(n))), [true, true, false])
    t.equal(await tree.openIfThere("sub/none.bin"), undefined)
    const file = await tree.open(names[1])
    t.match(file.name, /sub.part\.bin$/)
    t.equal(file.size, 100)
    const part = new Uint8Array(7)
    await file.readAt(90, part)
    t.same([...part], [90, 91, 92, 93, 94, 95, 96])
    await t.rejects(file.readAt(95, part), { message: /part\.bin ended early/ })
    await file.close()
    await file.close()
    await t.rejects(file.readAt(0, part), { message: /part\.bin is closed/ })
    await t.rejects(tree.open("none.json"), { message: /^Cannot open .*none\.json: no such file/ })
    const outside = ["../x", "sub/../../x", "/x", "", "sub//x", ".", "a\\b", "c:x", "a\0b"]
    for (const name of outside) {
      for (const act of ["open", "openIfThere", "has"] as const) {
        await t.rejects(
          tree[act](name) as Promise<unknown>,
          { name: "RangeError", message: /is no name of a file/ },
          name,
        )
      }
    }
    const bytes = await contentOf(await tree.open(names[0]), 100)
    t.equal(new TextDecoder().decode(bytes), '{"a": 1}')
    await t.rejects(contentOf(await tree.open(names[0]), 7), { message: /has 8 bytes.* most 7/ })
  })
}

t.test("a name that a server would take for a way out stays in its folder", async (t) => {
  const { url, log } = await serveFolder(t, someFolder(t))
  t.equal(await treeOf(url).has("%2e%2e/small.json"), false)
  t.same(log, ["%252e%252e/small.json bytes=0-8388607"])
})

t.test("the path of a file is that file, with those beside it", async (t) => {
  const path = join(someFolder(t), names[0])
  const { url } = await serveFolder(t, join(path, ".."))
  const alone = new File(["{}"], "small.json")
  for (const source of [path, `${url}/small.json?key=1`, [alone]]) {
    const tree = treeOf(source)
    t.equal(tree.file, "small.json")
    t.equal(await tree.has(tree.file as string), true)
    t.equal(await tree.has(names[1]), !Array.isArray(source))
  }
  t.equal(treeOf(join(path, "..", "OpenELM-1.1B")).file, undefined, "no file by its dot")
  await t.rejects(openFile(`${url}/none.bin`), { message: /none\.bin: no such file/ })
})

t.test("a file of a page that changes is not read half", async (t) => {
  const file = new File(["abcdefgh"], "x.json")
  const open = await treeOf([file]).open("x.json")
  file.slice = () => new Blob(["ab"])
  await t.rejects(open.readAt(0, new Uint8Array(4)), { message: /x\.json ended early: it changed/ })
  file.slice = () => ({ arrayBuffer: () => Promise.reject(new Error("gone")) }) as never
  await t.rejects(open.readAt(0, new Uint8Array(4)), {
    message: "Cannot read x.json: gone. Choose it again",
  })
})

// ---- What a server lacks ------------------------------------------------------------------------

/** Answers with a status for what the folder lacks, and for `closed` though it is there. */
const lacking =
  (code: number, closed: readonly string[] = []): Circumstance =>
  (asked) =>
    existsSync(join(folder, asked.name)) && !closed.includes(asked.name)
      ? asked.good()
      : status(code)(asked)

t.test("a server that lists nothing answers 403 for what it lacks, as S3 does", async (t) => {
  for (const code of [401, 403]) {
    const { url, log } = await serveFolder(t, folder, lacking(code))
    t.same(await logits(url), want, "generation_config.json is missing")
    t.equal(log.filter((line) => line.includes("openelm-asks")).length, 1, "asked once")
    const hidden = await serveFolder(t, folder, lacking(code, ["model.safetensors"]))
    await t.rejects(logits(hidden.url), {
      message: new RegExp(`has neither .*The server answers with status ${code} for what is mis`),
    })
    const all = await serveFolder(t, folder, lacking(code, ["config.json"]))
    await t.rejects(logits(all.url), {
      message: new RegExp(`config\\.json: the server answers with status ${code}.*may be read`),
    })
  }
})

t.test(
  "a tokenizer.model alone loads from a server that answers 403 for what it lacks",
  async (t) => {
    const path = t.testdir()
    const model = fixture("data/tiny.model")
    copyFileSync(model, join(path, "tokenizer.model"))
    const lacks =
      (code: number, isOpen = true): Circumstance =>
      (asked) =>
        isOpen && existsSync(join(path, asked.name)) ? asked.good() : status(code)(asked)
    for (const code of [401, 403, 404]) {
      const { url } = await serveFolder(t, path, lacks(code))
      const { vocabSize } = await loadTokenizer(url)
      t.equal(vocabSize, (await loadTokenizer(model)).vocabSize)
      t.same(await tokenizersIn(url), ["tokenizer.model"])
    }
    const none = await serveFolder(t, path, lacks(403, false))
    await t.rejects(loadTokenizer(none.url), {
      message: /tokenizer\.json: the server answers with status 403.*may be read/,
    })
    const closed = await serveFolder(t, path, (asked) =>
      asked.name === "tokenizer.json" ? status(403)(asked) : lacks(404)(asked),
    )
    await t.rejects(loadTokenizer(closed.url), {
      message: /tokenizer\.json: the server answers with status 403/,
    })
  },
)

t.test("403 of a server that answers 404 for what it lacks is a refusal", async (t) => {
  const closed = ["tokenizer.json", "generation_config.json", "model.safetensors"]
  for (const name of closed) {
    const { url } = await serveFolder(t, folder, (asked) =>
      asked.name === name ? status(403)(asked) : asked.good(),
    )
    await t.rejects(logits(url), { message: new RegExp(`${name}: the server .* status 403`) })
  }
})
