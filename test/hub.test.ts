// The hub: its cache is that of Python's huggingface_hub, file by file; downloads survive what servers do;
// the token goes to nobody else.
import { fork } from "node:child_process"
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs"
import type { ServerResponse } from "node:http"
import { dirname, join } from "node:path"
import { downloading } from "../bench/measure/report.ts"
import { convert, describeModel, loadTokenizer, type Waiting } from "../index.ts"
import { HubError, type HubFault } from "../model/files/hub/faults.ts"
import { treeOf } from "../model/files/source.ts"
import { type FileTree, readFile } from "../model/files/tree.ts"
import { readConfig, tokenizerOfModel } from "../model/index.ts"
import { contents, hashOf, head, hubFor, large } from "./hub_server.ts"
import t, { type Test } from "./tap.ts"

const contentOf = async (tree: FileTree, file: string): Promise<Buffer> =>
  Buffer.from(await readFile(tree, file, 1 << 20))

/** What fails with which fault. */
async function faults(t: Test, fault: HubFault, act: () => Promise<unknown>): Promise<Error> {
  const error = await act().then(
    () => new Error("nothing failed"),
    (error) => error as Error,
  )
  t.ok(error instanceof HubError, error.message)
  t.equal((error as HubError).fault, fault, error.message)
  return error
}

interface Entry {
  readonly path: string
  readonly size?: number
  readonly text?: string
  readonly link?: string
}

/** Every file under a folder, as the reference lists them. */
function entriesOf(folder: string): Entry[] {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort()
  return names.flatMap((path): Entry[] => {
    const full = join(folder, path)
    const found = lstatSync(full)
    if (found.isDirectory()) return []
    if (found.isSymbolicLink()) return [{ path, link: readlinkSync(full) }]
    const small = found.size < 1000 ? { text: readFileSync(full, "utf8") } : {}
    return [{ path, size: found.size, ...small }]
  })
}

t.test("what Python's huggingface_hub makes of the same repository", async (t) => {
  const hub = await hubFor(t, "hf_secret")
  const reference = JSON.parse(readFileSync("test/fixtures/hub/python_cache.json", "utf8"))
  hub.trouble = (n, _response, _request, good) => good(n === 0 ? { sent: 100_000 } : {})
  const tree = treeOf("org/m")
  t.equal(tree.path, undefined)
  t.equal((await contentOf(tree, "config.json")).toString(), '{"model_type":"openelm"}\n')
  t.equal((await contentOf(tree, "sub/readme.txt")).toString(), "hi\n")
  t.ok(large.equals(await contentOf(tree, "model.safetensors")), "a broken answer is gone on from")
  t.same(
    hub.contents.map((each) => each.split(" ")[1]),
    ["-", "-"],
    "no token to another host",
  )
  t.match(hub.contents[1], /^bytes=100000-/)
  t.equal(await tree.openIfThere("generation_config.json"), undefined)
  await faults(t, "entry", () => tree.open("generation_config.json"))
  await faults(t, "revision", () => treeOf("org/m@nix").open("config.json"))
  await faults(t, "gated", () => treeOf("gated/x").open("config.json"))
  await faults(t, "repository", () => treeOf("nope/x").open("config.json"))
  const locks = (path: string): boolean => path.startsWith(".locks/")
  t.same(
    entriesOf(hub.cache).filter(({ path }) => !locks(path)),
    reference.cache.filter(({ path }: Entry) => !locks(path)),
  )
  t.same(await tree.list?.(), Object.keys(contents()).sort())

  const asked = hub.asked.length
  const again = treeOf("org/m")
  await contentOf(again, "model.safetensors")
  t.match(
    hub.asked.slice(asked).join(),
    /^HEAD [^,]*$/,
    "what is cached is asked for by HEAD alone",
  )
  const fixed = treeOf(`org/m@${head}`)
  t.ok(large.equals(await contentOf(fixed, "model.safetensors")))
  t.equal(await fixed.openIfThere("generation_config.json"), undefined)
  t.equal(hub.asked.length, asked + 1, "a commit that is cached is not asked for at all")
  t.match(hub.asked.join("\n"), /Bearer hf_secret/)
  delete process.env.HF_TOKEN
  const message = (await faults(t, "gated", () => treeOf("gated/x").open("config.json"))).message
  t.match(message, /ask for access at http.*\/gated\/x.*HF_TOKEN/)
  await faults(t, "repository", () => treeOf("nope/x").open("config.json"))
})

t.test("without a hub, what is cached is used", async (t) => {
  const hub = await hubFor(t)
  await contentOf(treeOf("org/m"), "config.json")
  await treeOf("org/m").openIfThere("tokenizer.json")
  process.env.HF_HUB_OFFLINE = "1"
  const asked = hub.asked.length
  t.equal((await contentOf(treeOf("org/m"), "config.json")).length, 25)
  t.equal(await treeOf("org/m").openIfThere("tokenizer.json"), undefined)
  await faults(t, "offline", () => treeOf("org/m").open("model.safetensors"))
  await faults(t, "offline", () => treeOf("org/other").open("config.json"))
  t.same(await treeOf("org/m").list?.(), ["config.json"])
  t.equal(hub.asked.length, asked)
  delete process.env.HF_HUB_OFFLINE
  hub.status = 404
  await faults(t, "repository", () => treeOf("org/m").open("config.json"))
  hub.status = undefined
  process.env.HF_ENDPOINT = "http://127.0.0.1:9"
  t.equal((await contentOf(treeOf("org/m"), "config.json")).length, 25, "a hub that is away")
  await t.rejects(treeOf("org/m").open("model.safetensors"), /does not answer/)
})

t.test("contents that do not come as they should", async (t) => {
  const hub = await hubFor(t)
  let number = 0
  /** Reads a new content. */
  const readNew = (bytes: Buffer, hash?: string): Promise<Buffer> => {
    number++
    hub.files = { [`${number}.bin`]: { bytes, isLarge: true, ...(hash && { hash }) } }
    return readAgain()
  }
  const readAgain = (): Promise<Buffer> =>
    contentOf(treeOf("org/m", { timeoutMs: 1000 }), `${number}.bin`)
  const blobs = join(hub.cache, "models--org--m/blobs")
  const names = (): string => readdirSync(blobs).join()

  hub.trouble = (n, _response, _request, good) => good({ sent: n < 3 ? 1000 : 0 })
  await t.rejects(readNew(large), /ended early/, "a server that gives up")
  t.match(names(), /\.incomplete$/)
  hub.trouble = (_n, _response, _request, good) => good({ ranges: false })
  t.ok(large.equals(await readAgain()), "a server without ranges starts over")
  t.notMatch(names(), /incomplete/)

  hub.trouble = (_n, _response, _request, good) => good()
  await t.rejects(readNew(large, "a".repeat(64)), /another content than the hub says/)
  t.notMatch(names(), /aaaa/, "nothing is kept of it")

  const other = Buffer.from(large.toReversed())
  const hash = hashOf({ bytes: other, isLarge: true })
  writeFileSync(join(blobs, `${hash}.incomplete`), large.subarray(0, 5000))
  t.ok(other.equals(await readNew(other)), "what another began wrongly is begun anew")

  const expire = (response: ServerResponse): unknown => {
    hub.signature++
    return response.writeHead(403).end()
  }
  hub.trouble = (_n, response) => expire(response)
  await t.rejects(readNew(large.subarray(1)), /ended early/, "addresses that always run out")
  let times = 0
  hub.trouble = (_n, response, _request, good) => (times++ > 0 ? good() : expire(response))
  t.ok(large.subarray(1).equals(await readAgain()), "one that ran out is asked for anew")

  times = 0
  hub.trouble = (_n, response, _request, good) =>
    times++ > 0 ? good() : response.writeHead(429, { ratelimit: '"api";r=0;t=0' }).end()
  t.ok(large.subarray(2).equals(await readNew(large.subarray(2))), "a server with too much to do")

  const wrongRange = { "content-range": "bytes 7-9/10" }
  hub.trouble = (_n, response) => response.writeHead(206, wrongRange).end("abc")
  await t.rejects(readNew(large.subarray(3)), /asked for bytes from 0 of 299997/)
  hub.trouble = (_n, response) => response.writeHead(416).end()
  await t.rejects(readAgain(), /416/)
  hub.trouble = () => undefined
  await t.rejects(readAgain(), /sends nothing for 1 s/)
})

t.test("large contents come in several ranges at a time, whole", async (t) => {
  const hub = await hubFor(t)
  const bytes = Buffer.alloc(45_000_000)
  for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i)
  hub.files = { "big.bin": { bytes, isLarge: true } }
  const seen: number[] = []
  const onDownload = (_file: string, done: number): void => void seen.push(done)
  const tree = treeOf("org/m", { onDownload })
  const file = await tree.open("big.bin")
  const got = new Uint8Array(file.size)
  await file.readAt(0, got)
  await file.close()
  t.ok(bytes.equals(got))
  t.equal(hub.contents.length, 6)
  t.same(
    seen,
    seen.toSorted((a, b) => a - b),
  )
  t.equal(seen.at(-1), bytes.length)
})

t.test("whatever takes a model or a tokenizer tells of its download", async (t) => {
  const hub = await hubFor(t)
  const small = (file: string, isLarge = false) => ({
    [file]: { bytes: readFileSync(join("models/small", file)), isLarge },
  })
  const all = { ...small("config.json"), ...small("tokenizer.model") }
  hub.files = { ...all, ...small("model.safetensors", true) }
  const takers: [name: string, take: (waiting: Waiting) => Promise<unknown>][] = [
    ["describeModel", (waiting) => describeModel("org/m", waiting)],
    ["readConfig", (waiting) => readConfig("org/m", waiting)],
    ["tokenizerOfModel", (waiting) => tokenizerOfModel("org/m", waiting)],
    ["loadTokenizer", (waiting) => loadTokenizer("org/m", waiting)],
    [
      "convert",
      (waiting) =>
        convert("org/m", join(t.testdir(), "out"), { to: "hf", dtype: "f32", ...waiting }),
    ],
  ]
  for (const [name, take] of takers) {
    process.env.HF_HUB_CACHE = t.testdir()
    const seen: [string, number | undefined][] = []
    await take(downloading((text, part) => seen.push([text, part])))
    const ended = seen.filter(([, part]) => part === 1).map(([text]) => text)
    t.ok(
      ended.includes(
        `downloading org/m/${name === "loadTokenizer" ? "tokenizer.model" : "config.json"}`,
      ),
      `${name}: ${ended}`,
    )
  }
})

t.test("two processes share a download", async (t) => {
  const hub = await hubFor(t)
  hub.trouble = (_n, _response, _request, good) => void setTimeout(good, 300)
  const script = join(
    t.testdir({
      "read.mjs": `
    const { treeOf } = await import(process.argv[2])
    const { readFile } = await import(process.argv[3])
    const bytes = await readFile(treeOf("org/m"), "model.safetensors", 1 << 20)
    process.exit(bytes.length === 300000 ? 0 : 1)`,
    }),
    "read.mjs",
  )
  const cache = join(dirname(script), "cache")
  mkdirSync(cache)
  const modules = ["model/files/source.js", "model/files/tree.js"].map(
    (file) => new URL(`../${file}`, import.meta.url).href,
  )
  const run = () =>
    new Promise((resolve) => {
      const env = { ...process.env, HF_HUB_CACHE: cache }
      fork(script, modules, { env }).on("exit", resolve)
    })
  t.same(await Promise.all([run(), run(), run()]), [0, 0, 0])
  t.equal(hub.contents.length, 1)
  t.notOk(readdirSync(join(cache, ".locks/models--org--m")).length, "no lock is left")
})
