// Files from servers that are slow, moody, old or lying: what loads is what was there, and what does
// not load names the file and what the server did.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { loadTokenizer, OpenELM, open } from "../index.ts"
import { goldenFolder } from "./fixtures.ts"
import { type Circumstance, serveFolder, status, weights } from "./server.ts"
import t from "./tap.ts"

const backend = await open("wasm", { threads: 1 })
t.teardown(() => backend.close())

const golden = goldenFolder()
t.teardown(golden.remove)

const logits = async (folder: string, options: object = {}): Promise<Float32Array> => {
  const model = await OpenELM.load(folder, { backend, tokenizer: null, ...options })
  const values = await model.logits([[1, 2, 3]])
  await model.close()
  return values
}
const want = await logits(golden.path)

const reset: Circumstance = ({ response }) => {
  response.destroy()
}

const soon = { "retry-after": "0" }

t.test("what may pass is asked for again", async (t) => {
  const passing: readonly [string, Circumstance][] = [
    ["503 with Retry-After", weights(status(503, soon), 3)],
    ["503 until a date", weights(status(503, { "retry-after": new Date(0).toUTCString() }), 2)],
    ["503 without a time", weights(status(503), 1)],
    ["429", weights(status(429, soon), 2)],
    ["500, 502 and 504", weights((a) => status([500, 502, 504][a.before] ?? 200, soon)(a), 3)],
    ["408 of the config", (a) => (a.before === 0 ? status(408, soon)(a) : a.good())],
    ["a reset before the headers", weights(reset, 2)],
    ["a reset in the body", weights({ sent: 1000 }, 5)],
    [
      "a reset in the body of a whole file",
      weights((a) => a.good({ ranges: false, ...(a.before < 2 && { sent: 1000 }) })),
    ],
    ["ranges of 1,000 bytes", weights({ most: 1000 })],
    ["ranges of 7 bytes, at first", weights({ most: 7 }, 40)],
    ["ranges of a size untold", weights({ size: "*" })],
    ["ranges that are hidden", weights((a) => (a.range ? status(206)(a) : a.good()))],
    ["200 in place of 206", weights({ ranges: false })],
    [
      "200 in place of the second 206",
      weights((a) => a.good(a.before === 0 ? { most: 9000 } : { ranges: false })),
    ],
    ["gzip", weights({ ranges: false, gzip: true })],
    ["a weak ETag alone", weights({ etag: 'W/"1"', most: 9000 })],
    ["no ETag, no time", weights({ etag: undefined, most: 9000 })],
    ["an old time alone", weights({ etag: undefined, age: 3600, most: 9000 })],
    ["a new time alone", weights({ etag: undefined, age: 2, most: 9000 })],
  ]
  for (const [name, circumstance] of passing) {
    const { url, log } = await serveFolder(t, golden.path, circumstance)
    t.same(await logits(url).catch((error: Error) => error.message), want, name)
    if (name.endsWith("time alone"))
      t.equal(log.includes("model.safetensors all"), /new/.test(name))
  }
})

t.test("what does not pass names the file and what the server did", async (t) => {
  const file = readFileSync(join(golden.path, "model.safetensors"))
  const failing: readonly [Circumstance, RegExp, string?][] = [
    [weights(status(503, soon)), /^Cannot open http.*model\.safetensors: .* status 503 \(Serv/],
    [
      weights(status(503, { "retry-after": "3600" })),
      /status 503.*asks to wait 3600 s.*limit of 30 s/,
    ],
    [weights(status(401)), /model\.safetensors: the server answers with status 401/],
    [weights(status(403)), /model\.safetensors: the server answers with status 403/],
    [weights(reset), /model\.safetensors: the server does not answer \(/],
    [
      weights({ ranges: false, sent: 1000 }),
      /model\.safetensors ended early: the connection broke/,
    ],
    [weights({ sent: 0 }), /model\.safetensors ended early/],
    [weights(status(206)), /Cannot read http.*safetensors: the server gives parts only/],
  ]
  for (const [circumstance, message, name = "Error"] of failing) {
    const { url } = await serveFolder(t, golden.path, circumstance)
    await t.rejects(logits(url), { name, message })
  }
  const cut = weights({ file: file.subarray(0, -4) })
  await t.rejects(logits((await serveFolder(t, golden.path, cut)).url), {
    name: "SyntaxError",
    message: /may be cut off/,
  })
  const lying = weights(({ response }) => {
    response.writeHead(206, { "content-range": `bytes 0-9/${file.length}` }).end(file)
  })
  await t.rejects(logits((await serveFolder(t, golden.path, lying)).url), {
    message: /model\.safetensors has more bytes, expected at most 10/,
  })
})

t.test("a server that is silent is left after the time limit, or at the signal", async (t) => {
  const silent: readonly [string, Circumstance][] = [
    ["before the headers", weights(() => undefined)],
    ["in the body of a range", weights({ sent: 1000, last: "stall" })],
    ["in the body of a whole file", weights({ ranges: false, sent: 1000, last: "stall" })],
    ["in the config", ({ name, good }) => name === "config.json" || good()],
  ]
  for (const [name, circumstance] of silent) {
    const { url } = await serveFolder(t, golden.path, circumstance)
    const message =
      /Cannot read http.*(config\.json|\.safetensors): the server sends nothing for 0.2/
    await t.rejects(logits(url, { timeoutMs: 200 }), { name: "Error", message }, name)
    const reason = new Error("enough")
    const control = new AbortController()
    setTimeout(() => control.abort(reason), 50)
    const caught = await logits(url, { signal: control.signal }).catch((error: Error) => error)
    t.equal(caught, reason, `${name}, by a signal`)
  }
  const { url } = await serveFolder(t, golden.path, weights(status(503, { "retry-after": "20" })))
  const signal = AbortSignal.timeout(50)
  await t.rejects(logits(url, { signal }), { name: "TimeoutError" }, "while it waits to ask again")
  await t.rejects(logits(url, { signal: AbortSignal.abort() }), { name: "AbortError" })
  await t.rejects(logits(golden.path, { signal: AbortSignal.abort() }), { name: "AbortError" })
  await t.rejects(logits(url, { signal: 5 }), { name: "TypeError", message: /AbortSignal/ })
  await t.rejects(logits(url, { timeoutMs: 0 }), { name: "RangeError", message: /timeoutMs is 0/ })
  await t.rejects(loadTokenizer(`${url}/x.json`, { timeoutMs: -1 }), /timeoutMs is -1/)
})

t.test("what is slow but comes is waited for", async (t) => {
  const file = readFileSync(join(golden.path, "model.safetensors"))
  const slow = weights(({ response }) => {
    response.writeHead(200, { "content-length": file.length })
    const pieces = 20
    const send = (i: number): void => {
      const size = Math.ceil(file.length / pieces)
      response.write(file.subarray(i * size, (i + 1) * size))
      if (i + 1 < pieces) setTimeout(send, 150, i + 1)
    }
    send(0)
  })
  const { url } = await serveFolder(t, golden.path, slow)
  t.same(await logits(url, { timeoutMs: 2500 }), want, "3 s in all, 0.15 s at a time")
})

// ---- Bounds -------------------------------------------------------------------------------------

t.test("a body that unpacks to far more than a file may have is left early", async (t) => {
  const bomb = gzipSync(Buffer.alloc(256 << 20, 32))
  const { url } = await serveFolder(t, golden.path, ({ name, good, response }) => {
    if (name !== "config.json") return good()
    response.writeHead(200, { "content-encoding": "gzip" })
    response.end(bomb)
  })
  const before = process.memoryUsage().rss
  await t.rejects(logits(url), {
    name: "RangeError",
    message: /config\.json has more bytes, expected at most 1048576/,
  })
  const grown = process.memoryUsage().rss - before
  t.ok(grown < 128 << 20, `${(grown / 2 ** 20).toFixed(0)} MiB`)
})
