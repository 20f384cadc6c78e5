// GGUF files: every golden tensor to the bit, metadata, the tokenizer, the tokens that a model gives, and
// what is refused.
import { createHash } from "node:crypto"
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { loadTokenizer, OpenELM, open } from "../index.ts"
import { headerBytes } from "../model/checkpoints/gguf/encode.ts"
import { readGguf } from "../model/checkpoints/gguf/header.ts"
import { storedBlocks } from "../model/checkpoints/gguf/stored.ts"
import { tokenizerOf, vocabularyOf } from "../model/checkpoints/gguf/vocabulary.ts"
import { f32Rows } from "../model/checkpoints/numbers.ts"
import { openOnDisk } from "../model/files/disk.ts"
import { openModel, readConfig, type StoredTensor } from "../model/index.ts"
import { fixture, fixtureJson, golden } from "./fixtures.ts"
import { serveFolder } from "./server.ts"
import t from "./tap.ts"

const expected = fixtureJson("gguf/expected.json")
const dir = mkdtempSync(join(tmpdir(), "openelm-gguf-"))
t.teardown(() => rmSync(dir, { recursive: true }))

/** A file with its tensors by their names in it. */
async function opened(path: string) {
  const file = await openOnDisk(path)
  const header = await readGguf(file).catch(async (error: unknown) => {
    await file.close()
    throw error
  })
  const tensors = new Map(header.tensors.map((x) => [x.name, storedBlocks(file, x, x.name)]))
  return { ...header, tensors, close: file.close }
}

async function numbersOf(tensor: StoredTensor): Promise<Float32Array> {
  const [rows = 1] = tensor.shape
  const data = new Uint8Array(4 * tensor.shape.reduce((a, b) => a * b, 1))
  await f32Rows(tensor, tensor.form as "f32")(0, rows, data)
  return new Float32Array(data.buffer)
}

const sha256 = (data: Float32Array): string =>
  createHash("sha256").update(new Uint8Array(data.buffer)).digest("hex")

/** A long list as the golden metadata has it. */
const abridged = (list: readonly unknown[]) => ({
  count: list.length,
  first: list.slice(0, 6),
  at_259: list.slice(259, 264),
  last: list.slice(-6),
})

/** Names of the files that have expected numbers, and those of a file that is a variant of another. */
const names = Object.keys(expected).filter((name) => !name.includes("bigendian"))
const of = (name: string) => expected[expected[name].variant_of ?? name]

const partsOf = (name: string): string[] =>
  name.includes("-00001-of-") ? [1, 2, 3].map((i) => name.replace("00001", `0000${i}`)) : [name]

for (const name of names) {
  t.test(`${name} holds the golden tensors to the bit, and the metadata`, async (t) => {
    const wanted = of(name)
    const found = new Map<string, string>()
    for (const part of partsOf(name)) {
      const { tensors, metadata, close } = await opened(fixture(`gguf/${part}`))
      for (const [key, tensor] of tensors) {
        const { shape, sha256_f32_le: hash } = wanted.tensors[key]
        t.same(tensor.shape, shape, key)
        t.equal(sha256(await numbersOf(tensor)), hash, key)
        found.set(key, tensor.dtype)
      }
      for (const [key, value] of expected[name].variant_of ? [] : metadata) {
        const want = wanted.metadata[key]
        if (want?.count === undefined) t.same(value, want, key)
        else t.same(abridged(value as readonly unknown[]), want, key)
      }
      await close()
    }
    t.same(
      Object.fromEntries([...found].sort()),
      Object.fromEntries(Object.entries(wanted.types).sort()),
    )
  })
}

t.test("blocks of every type widen as ggml's", async (t) => {
  const { tensors, close } = await opened(fixture("gguf/blocks-a.gguf"))
  const wanted = await golden("gguf/blocks-a.expected.safetensors")
  t.ok(wanted.size > 20)
  for (const [name, { values }] of wanted) {
    const made = await numbersOf(tensors.get(name) as StoredTensor)
    t.same(new Uint32Array(made.buffer), new Uint32Array(Float32Array.from(values).buffer), name)
  }
  await close()
})

t.test("models give the golden tokens and logits", async (t) => {
  const backend = await open("wasm", { threads: 1 })
  for (const name of names) {
    const { prompt, greedy, logits_last_prompt_position: logits } = of(name)
    const model = await OpenELM.load(fixture(`gguf/${name}`), { backend })
    const tokens: number[] = []
    const options = { temperature: 0, maxNewTokens: greedy.length }
    for await (const { id } of model.generate(prompt, options)) tokens.push(id)
    t.same(tokens, greedy, name)
    const last = (await model.logits([prompt])).slice(-logits.length)
    const most = Math.max(...logits.map(Math.abs))
    const off = Math.max(...logits.map((x: number, i: number) => Math.abs(x - (last[i] ?? 0))))
    t.ok(off / most < 2e-5, `${name}: ${off / most}`)
    await model.close()
  }
  await backend.close()
})

t.test("a quantized file loads in any dtype that is asked for", async (t) => {
  const backend = await open("wasm", { threads: 1 })
  for (const dtype of ["bf16", "f16", "q8"] as const) {
    const model = await OpenELM.load(fixture("gguf/wide-a-q4_k_m.gguf"), { backend, dtype })
    t.equal(model.dtype, dtype)
    t.ok((await model.logits([[1, 2]])).every(Number.isFinite))
    await model.close()
  }
  await backend.close()
})

t.test("the tokenizer inside is SentencePiece's", async (t) => {
  const model = await openModel(fixture("gguf/wide-a-q4_0.gguf"))
  const tokenizer = await model.tokenizer()
  t.equal(tokenizer?.vocabSize, 420)
  for (const { text, ids, decoded } of fixtureJson("data/tokenizer_cases.json").cases) {
    t.same(tokenizer?.encode(text), ids, text)
    if (decoded !== undefined) t.equal(tokenizer?.decode(ids), decoded)
  }
  await model.close()
})

t.test("a config says what the file does", async (t) => {
  const tiny = await readConfig(fixture("gguf/tiny-a-q8_0.gguf"))
  t.match(tiny, { name: "Tiny A", modelDim: 48, headDim: 16, maxContext: 64, normEps: 1e-6 })
  t.match(tiny, { queryHeads: [2, 2, 4, 4], keyHeads: [1, 1, 2, 2], ffnDims: [32, 80, 128, 192] })
  const folder = mkdtempSync(join(dir, "split"))
  for (const part of partsOf("nano-a-split-00001-of-00003.gguf")) {
    copyFileSync(fixture(`gguf/${part}`), join(folder, part))
  }
  t.same((await readConfig(folder)).ffnDims, [8, 48], "a folder of parts is one model")
  await t.rejects(readConfig(join(folder, "nano-a-split-00002-of-00003.gguf")), {
    message: /part 2 of 3\. Give the first/,
  })
  rmSync(join(folder, "nano-a-split-00003-of-00003.gguf"))
  await t.rejects(readConfig(folder), { message: /Cannot open .*00003-of-00003\.gguf/ })
})

t.test("by URL, ranges of a file are read", async (t) => {
  const server = await serveFolder(t, fixture("gguf"))
  const model = await openModel(`${server.url}/nano-a-split-00001-of-00003.gguf`)
  t.same(model.config.ffnDims, [8, 48])
  await model.close()
})

t.test("everything bad is refused in a message that names the file and the reason", async (t) => {
  const reasons: Record<string, RegExp> = {
    "dims_overflow.gguf": /too large/,
    "duplicate_tensor.gguf": /"blk\.0\.attn_qkv\.weight" twice/,
    "head_count_too_short.gguf": /openelm\.attention\.head_count is \[.*each of 2 layers/,
    "kv_count_huge.gguf": /keys in 2048 bytes/,
    "offset_beyond_end.gguf": /is at byte 1099511627776 of the data, expected/,
    "string_length_huge.gguf": /a text has 230584300921369\d+ bytes/,
    "truncated_data.gguf": /may be cut off/,
    "truncated_header.gguf": /20 tensors and 19 keys in 200 bytes/,
    "unknown_tensor_type.gguf": /type 77, expected one of F32, F16, Q4_0/,
    "version_4.gguf": /version 4, expected 2 or 3/,
    "wrong_architecture.gguf": /"llama", only "openelm" is read/,
    "wrong_magic.gguf": /is no file of weights/,
  }
  const bad = readdirSync(fixture("gguf/bad")).filter((name) => name.endsWith(".gguf"))
  t.same(bad.sort(), Object.keys(reasons))
  for (const name of bad) {
    const message = new RegExp(`${name}.*${reasons[name]?.source}`)
    await t.rejects(openModel(fixture(`gguf/bad/${name}`)), { message }, name)
  }
  await t.rejects(openModel(fixture("gguf/nano-a-bigendian.gguf")), { message: /big-endian/ })
})

t.test("a tokenizer without a token before each text stays one", async (t) => {
  const own = await loadTokenizer(fixture("data/tiny.model"))
  const carried = (tokenizer: typeof own) => {
    const typed = Object.entries(vocabularyOf(tokenizer, own.vocabSize + 4))
    return tokenizerOf(
      new Map(typed.map(([key, value]) => [key, Object.values(value)[0]])),
      "a.gguf",
    )
  }
  t.match(carried(own), { bosId: own.bosId, eosId: own.eosId, vocabSize: own.vocabSize })
  const bare = carried({ ...own, bosId: -1 })
  t.equal(bare?.bosId, -1)
  t.equal(carried(bare as typeof own)?.bosId, -1)
  t.same(bare?.encode("The river"), own.encode("The river"))
})

t.test("a header of some megabytes is read whole", async (t) => {
  const path = join(dir, "wide.gguf")
  const texts = Array.from({ length: 60_000 }, (_, i) => `a piece of thirty letters ${i}`)
  const info = { name: "a", shape: [2, 3], type: "F32", bytes: 24 }
  const header = headerBytes(new Map([["list", { texts }]]), [info])
  t.ok(header.length > 2 ** 21)
  writeFileSync(path, Buffer.concat([header, new Uint8Array(24)]))
  const { metadata, tensors, close } = await opened(path)
  t.same(metadata.get("list"), texts)
  t.same([...(await numbersOf(tensors.get("a") as StoredTensor))], [0, 0, 0, 0, 0, 0])
  await close()
  writeFileSync(path, header.subarray(0, 2 ** 21))
  await t.rejects(opened(path), { message: /its header is cut off/ })
})

t.test("a file of nothing but its magic, or a part of a header, is cut off", async (t) => {
  const whole = readFileSync(fixture("gguf/nano-a-f32.gguf"))
  const path = join(dir, "cut.gguf")
  for (const length of [4, 8, 23, 24, 100, 700, 1500]) {
    writeFileSync(path, whole.subarray(0, length))
    await t.rejects(openModel(path), { message: /cut\.gguf is no whole GGUF file/ }, `${length}`)
  }
})
