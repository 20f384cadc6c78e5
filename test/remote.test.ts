// Models at a URL: the same as in a folder, from servers with and without ranges; what is missing
// there, and what is replaced while it is read.
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { loadTokenizer, OpenELM, open } from "../index.ts"
import { openSafetensors, shippedModel, type TensorData, writeSafetensors } from "../model/index.ts"
import { goldenFolder } from "./fixtures.ts"
import { type Change, type Circumstance, serveFolder, status, weights } from "./server.ts"
import t, { type Test } from "./tap.ts"

const backend = await open("wasm", { threads: 1 })
t.teardown(() => backend.close())

const textOf = async (folder: string | URL): Promise<string> => {
  await using model = await OpenELM.load(folder, { backend })
  let text = ""
  for await (const token of model.generate("It is", { maxNewTokens: 8 })) text += token.text
  return text
}

const logits = async (folder: string): Promise<Float32Array> => {
  await using model = await OpenELM.load(folder, { backend, tokenizer: null })
  return await model.logits([[1, 2, 3]])
}

t.test("a model at a URL is the model of the folder", async (t) => {
  const folder = await shippedModel()
  const want = await textOf(folder)
  const { url, log } = await serveFolder(t, folder)
  t.equal(await textOf(url), want, "in ranges")
  t.same(
    log.map((line) => line.split(" ")[0]).sort(),
    [
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer.model",
    ],
    "each file once, and the second block of the weights",
  )
  t.equal(await textOf(new URL(`${url}/?key=1`)), want, "a URL with a query")
  const whole = await serveFolder(t, folder, ({ good }) => good({ ranges: false }))
  t.equal(await textOf(whole.url), want, "as a whole")
  const { vocabSize } = await loadTokenizer(`${url}/tokenizer.model`)
  t.equal((await loadTokenizer(url)).vocabSize, vocabSize)
})

t.test("what a server does not have, or cuts off, is named", async (t) => {
  const golden = goldenFolder()
  t.teardown(golden.remove)
  const file = readFileSync(join(golden.path, "model.safetensors"))
  const wrongRange = weights(({ response }) => {
    response.writeHead(206, { "content-range": `bytes 7-106/${file.length}` })
    response.end(file.subarray(0, 100))
  })
  const cases: readonly [Circumstance, RegExp, string?][] = [
    [status(404), /Cannot open http.*config\.json: no such file/],
    [
      weights(status(404)),
      /models\/it has neither model\.safetensors nor model\.safetensors\.index/,
    ],
    [weights({ file: file.subarray(0, -4) }), /it is \d+ and may be cut off/, "SyntaxError"],
    [wrongRange, /asked for bytes from 0, got 100 as "bytes 7-106/],
    [status(200), /config\.json is not JSON/, "SyntaxError"],
  ]
  for (const [circumstance, message, name = "Error"] of cases) {
    const { url } = await serveFolder(t, golden.path, circumstance)
    await t.rejects(OpenELM.load(url, { backend }), { name, message })
  }
  const { url } = await serveFolder(t, golden.path)
  await t.rejects(OpenELM.load(url.replace(/:\d+/, ":1"), { backend }), {
    message: /Cannot open http.*config\.json: the server does not answer/,
  })
  await t.rejects(OpenELM.load("http://", { backend }), { message: /"http:\/\/" is not the URL/ })
  await t.rejects(OpenELM.load(5 as never, { backend }), { name: "TypeError", message: /number/ })
})

// ---- Pages --------------------------------------------------------------------------------------

const pages = {
  html: "<!doctype html><title>app</title><div id=app></div>",
  "a page of 3 MB": `<!doctype html>${"<p>word</p>".repeat(300_000)}`,
  "html after white space": "\n\n  <html><body>Not found</body></html>",
  "html with a mark": "\ufeff<!-- hi --><html></html>",
  text: "Not found",
  message: '{"error": "not found", "status": 404}',
  nothing: "",
}

/** Pages of status 200 in place of what the folder lacks. */
const withPages =
  (folder: string, page: string, change: Change = {}): Circumstance =>
  ({ name, good }) =>
    good(existsSync(join(folder, name)) ? {} : { file: Buffer.from(page), ...change })

t.test("a page in place of a file that is missing is no file", async (t) => {
  const golden = goldenFolder()
  const sharded = await shardedFolder(golden.path)
  t.teardown(() => {
    golden.remove()
    rmSync(sharded, { recursive: true })
  })
  const want = await logits(golden.path)
  t.same(await logits((await serveFolder(t, sharded)).url), want, "shards")
  for (const folder of [golden.path, sharded]) {
    for (const [name, page] of Object.entries(pages)) {
      for (const change of [{}, { ranges: false }, { ranges: false, gzip: true }]) {
        const { url } = await serveFolder(t, folder, withPages(folder, page, change))
        const model = await OpenELM.load(url, { backend })
        t.equal(model.tokenizer, undefined, `${name} for the tokenizer`)
        t.same(await model.logits([[1, 2, 3]]), want)
        await model.close()
      }
    }
  }
  rmSync(join(sharded, "part-1.safetensors"))
  const { url } = await serveFolder(t, sharded, withPages(sharded, pages.html))
  await t.rejects(logits(url), { message: /index\.json names "part-1\.safetensors", which is mis/ })
  rmSync(join(sharded, "model.safetensors.index.json"))
  await t.rejects(logits((await serveFolder(t, sharded, withPages(sharded, pages.html))).url), {
    message: /^http.* has neither model\.safetensors nor model\.safetensors\.index\.json/,
  })
  await t.rejects(loadTokenizer(url), { message: /has no tokenizer\.model or tokenizer\.json/ })
  await t.rejects(loadTokenizer(`${url}/tokenizer.model`), { message: /no such file/ })
})

/** A copy of a folder with its weights in two files. */
async function shardedFolder(from: string): Promise<string> {
  const path = mkdtempSync(join(tmpdir(), "openelm-shards-"))
  copyFileSync(join(from, "config.json"), join(path, "config.json"))
  const file = await openSafetensors(join(from, "model.safetensors"))
  const halves = [new Map<string, TensorData>(), new Map<string, TensorData>()] as const
  const map: Record<string, string> = {}
  for (const [i, [name, { dtype, shape, bytes }]] of [...file.tensors].entries()) {
    const data = new Uint8Array(bytes)
    await file.read(name, 0, data)
    halves[i % 2 === 0 ? 0 : 1].set(name, { dtype, shape, data })
    map[name] = `part-${i % 2}.safetensors`
  }
  await file.close()
  for (const [i, half] of halves.entries()) {
    await writeSafetensors(join(path, `part-${i}.safetensors`), half)
  }
  const index = JSON.stringify({ weight_map: map })
  writeFileSync(join(path, "model.safetensors.index.json"), index)
  return path
}

// ---- Versions -----------------------------------------------------------------------------------

t.test("a file that is replaced between two ranges is never mixed", async (t) => {
  const folder = await shippedModel()
  const old = readFileSync(join(folder, "model.safetensors"))
  const other = Buffer.from(old)
  other.fill(60, old.length - 1000)
  const whole = await logits(folder)
  /** The first range is of one file, what comes later of another. */
  const replaced = (first: Change, later: Change): Circumstance =>
    weights((a) => a.good(a.before === 0 ? first : { file: other, ...later }))
  const cases: readonly [string, Circumstance][] = [
    ["another strong ETag", replaced({}, { etag: '"2"' })],
    [
      "another weak ETag, old times",
      replaced({ etag: 'W/"1"', age: 99 }, { etag: 'W/"2"', age: 99 }),
    ],
    ["another time", replaced({ etag: undefined, age: 7200 }, { etag: undefined, age: 3600 })],
    ["another time, new", replaced({ etag: undefined, age: 2 }, { etag: undefined, age: 2 })],
    ["the same weak ETag", replaced({ etag: 'W/"1"' }, { etag: 'W/"1"' })],
    ["no mark", replaced({ etag: undefined }, { etag: undefined })],
    [
      "no mark any more",
      replaced({ etag: undefined, age: 99 }, { etag: undefined, ranges: false }),
    ],
    ["a shorter file", replaced({}, { file: old.subarray(0, -100) })],
    ["no file any more", weights((a) => (a.before === 0 ? a.good() : status(404)(a)))],
  ]
  const wholeOfOther = await logitsOf(t, other, folder)
  for (const [name, circumstance] of cases) {
    const { url } = await serveFolder(t, folder, circumstance)
    const got = await logits(url).catch((error: Error) => error.message)
    if (typeof got === "string") {
      t.match(got, /model\.safetensors changed while it was read/, name)
    } else {
      t.ok(
        [whole, wholeOfOther].some((values) => sameNumbers(values, got)),
        name,
      )
    }
  }
})

const sameNumbers = (a: Float32Array, b: Float32Array): boolean => a.every((x, i) => x === b[i])

async function logitsOf(t: Test, file: Buffer, folder: string): Promise<Float32Array> {
  const path = mkdtempSync(join(tmpdir(), "openelm-other-"))
  t.teardown(() => rmSync(path, { recursive: true }))
  copyFileSync(join(folder, "config.json"), join(path, "config.json"))
  writeFileSync(join(path, "model.safetensors"), file)
  return logits(path)
}
