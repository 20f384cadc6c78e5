// Byte-level tokenizers inside of GGUF files: the same ids as before, and rules without a name are refused.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { convert, loadTokenizer, OpenELM, open, parseTokenizer, type Tokenizer } from "../index.ts"
import { tokenizerOfModel } from "../model/index.ts"
import { fixture, fixtureJson } from "./fixtures.ts"
import { config } from "./small.ts"
import t from "./tap.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-gguf-bytes-"))
t.teardown(() => rmSync(dir, { recursive: true }))
const backend = await open("js")
t.teardown(() => backend.close())

let count = 0
/** A GGUF file of a small model with a tokenizer. */
async function written(tokenizer: Tokenizer): Promise<string> {
  const folder = join(dir, String(count++))
  await using model = await OpenELM.random({ ...config, vocabSize: 640 }, { backend, tokenizer })
  await model.save(folder)
  await convert(folder, `${folder}.gguf`, { to: "gguf", dtype: "f32" })
  return `${folder}.gguf`
}

const gpt2 = (): Record<string, unknown> => fixtureJson("bpe/gpt2/tokenizer.json")
const madeOf = (json: object): Tokenizer =>
  parseTokenizer(new TextEncoder().encode(JSON.stringify(json)), "made")

/** How words of Llama 3 and of Qwen 2 are cut. */
const splitBy = (numbers: string) => ({
  type: "Split",
  pattern: {
    Regex: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
  },
  ...{ behavior: "Isolated", invert: false },
})
const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false }
const regex = { ...bytes, use_regex: true }
const cutBy = (...pretokenizers: object[]) => ({ type: "Sequence", pretokenizers })

t.test("ids are the same from a GGUF file, and from the folder that it becomes", async (t) => {
  const json = gpt2()
  const { model } = json as { model: object }
  const digits = { type: "Digits", individual_digits: true }
  const cases: [string, Tokenizer][] = [
    ["gpt-2", await loadTokenizer(fixture("bpe/gpt2"))],
    ["olmo", await loadTokenizer(fixture("bpe/neox"))],
    ["gpt-2", await loadTokenizer(fixture("bpe/opt"))],
    ["starcoder", madeOf({ ...json, pre_tokenizer: cutBy(digits, regex) })],
    [
      "llama-bpe",
      madeOf({
        ...json,
        pre_tokenizer: cutBy(splitBy("\\p{N}{1,3}"), bytes),
        model: { ...model, ignore_merges: true },
      }),
    ],
    [
      "qwen2",
      madeOf({
        ...json,
        pre_tokenizer: cutBy(splitBy("\\p{N}"), bytes),
        normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }] },
      }),
    ],
  ]
  const texts: { text: string }[] = ["gpt2", "neox", "opt"].flatMap(
    (kind) => fixtureJson(`bpe/${kind}/cases.json`).cases,
  )
  for (const [name, tokenizer] of cases) {
    const file = await written(tokenizer)
    const saved = await loadTokenizer(file.slice(0, -".gguf".length))
    t.equal(saved.bosId, tokenizer.bosId, "saved")
    t.ok(readFileSync(file).includes(`tokenizer.ggml.pre`), name)
    t.ok(readFileSync(file).includes(name))
    const folder = join(dir, String(count++))
    await convert(file, folder, { to: "hf", dtype: "f32" })
    for (const from of [file, folder]) {
      const found = (await tokenizerOfModel(from)) as Tokenizer
      const fields = ["vocabSize", "bosId", "eosId", "padId"] as const
      for (const field of fields) t.equal(found[field], tokenizer[field], `${name}: ${field}`)
      for (const { text } of texts) {
        for (const special of [false, true]) {
          const want = tokenizer.encode(text, { special })
          t.same(found.encode(text, { special }), want, `${name}: ${JSON.stringify(text)}`)
        }
      }
      const ids = tokenizer.encode("The tide turned; café 🚀", { special: true })
      t.equal(found.decode(ids), tokenizer.decode(ids))
    }
  }
})

t.test("rules that GGUF or this package has no name for are refused by name", async (t) => {
  const json = gpt2()
  const file = await written(madeOf(json))
  const before = readFileSync(file)
  const changed = async (from: string, to: string): Promise<void> => {
    const at = before.indexOf(from)
    t.ok(at > 0 && from.length === to.length)
    const after = Buffer.from(before)
    after.write(to, at)
    writeFileSync(file, after)
    const found = await tokenizerOfModel(file)
    found?.encode("the tide")
  }
  await t.rejects(changed("gpt-2", "tekke"), {
    name: "RangeError",
    message: /tokenizer.ggml.pre is "tekke", expected one of gpt-2, phi-2, olmo/,
  })
  await t.rejects(changed("gpt2", "bert"), /model is "bert", expected "llama" or "gpt2"/)
  await t.rejects(
    changed("tokenizer.ggml.pre", "tokenizer.ggml.prx"),
    /pre is missing, expected one of/,
  )
  await t.rejects(changed("tokenizer.ggml.merges", "tokenizer.ggml.mergex"), /merges is no list/)
  await t.rejects(changed("Ġ t", "Ġ \u0001"), /merges\[0\].*expected two pieces that make a third/)
  const refused: [object, RegExp][] = [
    [{ pre_tokenizer: { ...regex, add_prefix_space: true } }, /GGUF has no name for how this tok/],
    [
      { normalizer: { type: "NFKC" } },
      /its normalizer is an object.*expected those of gpt-2, phi-2/,
    ],
    [
      { added_tokens: [{ id: 586, content: "<|endoftext|>", special: true, lstrip: true }] },
      /"<\|endoftext\|>" of this tokenizer.json is found: it has lstrip/,
    ],
  ]
  for (const [change, message] of refused) {
    await t.rejects(written(madeOf({ ...json, ...change })), { name: "RangeError", message })
  }
})
