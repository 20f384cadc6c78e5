// Models behind a URL: from servers with and without ranges, and from those that fail in the middle.
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import t, { type Test } from "tap"
import { loadTokenizer, OpenELM, open } from "../index.ts"
import { openSafetensors, shippedModel, type TensorData, writeSafetensors } from "../model/index.ts"
import { goldenFolder } from "./fixtures.ts"

type Answer = (path: string, request: IncomingMessage, response: ServerResponse) => void

/** The URL of a server that lives as long as the test. */
async function serve(t: Test, answer: Answer): Promise<string> {
  const server = createServer((request, response) => {
    answer(new URL(request.url ?? "/", "http://x").pathname, request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/models/it`
}

/** Answers with a file of a folder: the range that is asked for, or without `ranges` all of it. */
function fromFolder(folder: string, { ranges = true, etag = (): string => "1" } = {}): Answer {
  return (path, { headers }, response) => {
    let file: Buffer
    try {
      file = readFileSync(join(folder, path.replace("/models/it/", "")))
    } catch {
      response.writeHead(404).end("not here")
      return
    }
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? []
    if (!ranges || from === undefined) {
      response.writeHead(200, { "content-length": file.length, etag: etag() }).end(file)
      return
    }
    const end = Math.min(Number(to) + 1, file.length)
    const range = `bytes ${from}-${end - 1}/${file.length}`
    response.writeHead(206, { "content-range": range, etag: etag() })
    response.end(file.subarray(Number(from), end))
  }
}

const backend = await open("wasm", { threads: 1 })
t.teardown(() => backend.close())

const textOf = async (folder: string | URL): Promise<string> => {
  await using model = await OpenELM.load(folder, { backend })
  let text = ""
  for await (const token of model.generate("It is", { maxNewTokens: 8 })) text += token.text
  return text
}

t.test("a model behind a URL is the model of the folder", async (t) => {
  const folder = await shippedModel()
  const want = await textOf(folder)
  const asked: string[] = []
  const inRanges = fromFolder(folder)
  const url = await serve(t, (path, request, response) => {
    if (path.endsWith(".safetensors")) asked.push(request.headers.range ?? "all")
    inRanges(path, request, response)
  })
  t.equal(await textOf(url), want, "in ranges")
  t.ok(asked.length <= 6, `asked for ${asked.join(", ")}`)
  t.equal(await textOf(new URL(`${url}/?key=1`)), want, "a URL with a query")
  t.equal(await textOf(await serve(t, fromFolder(folder, { ranges: false }))), want, "as a whole")
  const { vocabSize } = await loadTokenizer(`${url}/tokenizer.model`)
  t.equal((await loadTokenizer(url)).vocabSize, vocabSize)
})

t.test("shards and their index come from a server too", async (t) => {
  const golden = goldenFolder()
  t.teardown(golden.remove)
  const single = join(golden.path, "model.safetensors")
  const file = await openSafetensors(single)
  const halves = [new Map<string, TensorData>(), new Map<string, TensorData>()] as const
  const map: Record<string, string> = {}
  for (const [i, [name, { dtype, shape, bytes }]] of [...file.tensors].entries()) {
    const data = new Uint8Array(bytes)
    file.read(name, 0, data)
    halves[i % 2 === 0 ? 0 : 1].set(name, { dtype, shape, data })
    map[name] = `part-${i % 2}.safetensors`
  }
  file.close()
  const logits = async (folder: string): Promise<Float32Array> => {
    await using model = await OpenELM.load(folder, { backend })
    return model.logits([[1, 2, 3]])
  }
  const want = await logits(golden.path)
  for (const [i, half] of halves.entries()) {
    await writeSafetensors(join(golden.path, `part-${i}.safetensors`), half)
  }
  const index = JSON.stringify({ weight_map: map })
  writeFileSync(join(golden.path, "model.safetensors.index.json"), index)
  rmSync(single)
  t.same(await logits(await serve(t, fromFolder(golden.path))), want)
  rmSync(join(golden.path, "part-1.safetensors"))
  await t.rejects(logits(await serve(t, fromFolder(golden.path))), {
    message: /names "part-1\.safetensors", which is missing/,
  })
})

t.test("what a server does not have, or breaks off, is named", async (t) => {
  const golden = goldenFolder()
  t.teardown(golden.remove)
  const refuses = async (answer: Answer, message: RegExp, name = "Error"): Promise<void> => {
    await t.rejects(OpenELM.load(await serve(t, answer), { backend }), { name, message })
  }
  const good = fromFolder(golden.path)
  const weights = (answer: Answer): Answer => {
    return (path, request, response) =>
      (path.endsWith(".safetensors") ? answer : good)(path, request, response)
  }
  const file = readFileSync(join(golden.path, "model.safetensors"))
  const missing: Answer = (_path, _request, response) => response.writeHead(404).end()
  await refuses(missing, /Cannot open http.*config\.json: no such file/)
  await refuses(
    weights(missing),
    /^http.*\/models\/it has neither model\.safetensors nor model\.safetensors\.index\.json/,
  )
  await refuses(
    weights((_path, _request, response) => response.writeHead(503).end()),
    /model\.safetensors: the server answers with status 503/,
  )
  await refuses(
    weights((_path, _request, response) => response.end(file.subarray(0, -4))),
    /needs the file to be \d+ bytes long, it is \d+ and may be cut off/,
    "SyntaxError",
  )
  const torn: Answer = (_path, _request, response) => {
    response.writeHead(200, { "content-length": file.length })
    response.write(file.subarray(0, 1000), () => response.destroy())
  }
  await refuses(weights(torn), /model\.safetensors ended early/)
  const wrongRange: Answer = (_path, _request, response) => {
    response.writeHead(206, { "content-range": `bytes 7-106/${file.length}` })
    response.end(file.subarray(0, 100))
  }
  await refuses(weights(wrongRange), /asked for bytes from 0, got 100 as "bytes 7-106/)
  const html: Answer = (_path, _request, response) => response.end("<!doctype html>")
  await refuses(html, /config\.json is not JSON/, "SyntaxError")
})

t.test("a file that changes while it is read is an error", async (t) => {
  let version = 0
  const etag = (): string => `${version++}`
  const url = await serve(t, fromFolder(await shippedModel(), { etag }))
  await t.rejects(OpenELM.load(url, { backend }), { message: /changed while it was read/ })
})

t.test("no server, and no URL", async (t) => {
  const url = await serve(t, () => undefined)
  await t.rejects(OpenELM.load(url.replace(/:\d+/, ":1"), { backend }), {
    message: /Cannot open http.*config\.json: the server does not answer/,
  })
  await t.rejects(OpenELM.load(5 as never, { backend }), { name: "TypeError", message: /number/ })
})
