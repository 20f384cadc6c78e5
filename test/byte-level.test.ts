// Byte-level tokenizers: exact on the ids of GPT-2's, GPT-NeoX's and OPT's rules, from either form of
// their files; what each field of a file changes; what is refused; and folders that are saved again.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { JsBackend } from "../backends/js/index.ts"
import { convert, LanguageModel, loadTokenizer, parseTokenizer } from "../index.ts"
import { parseConfig } from "../model/index.ts"
import { gpt2Words } from "../model/tokenizer/words.ts"
import { fixture, fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"
import { randomOf } from "./tokenizers.ts"

interface Case {
  readonly text: string
  readonly ids: readonly number[]
}

const casesOf = (kind: string): readonly Case[] => fixtureJson(`bpe/${kind}/cases.json`).cases
const dir = mkdtempSync(join(tmpdir(), "openelm-bytes-"))
t.teardown(() => rmSync(dir, { recursive: true }))

/** The files of a tokenizer in a folder of its own, some of them left out. */
function folderOf(kind: string, name: string, without: readonly string[] = []): string {
  const folder = join(dir, name)
  const isKept = (path: string): boolean =>
    ![...without, "cases.json"].some((x) => path.endsWith(x))
  cpSync(fixture(`bpe/${kind}`), folder, { recursive: true, filter: isKept })
  return folder
}

t.test("ids are those of the original tokenizers, and text comes back", async (t) => {
  const folders = [
    ["gpt2", fixture("bpe/gpt2"), -1],
    ["gpt2", folderOf("gpt2", "files", ["tokenizer.json"]), -1],
    ["neox", fixture("bpe/neox"), -1],
    ["opt", fixture("bpe/opt"), 2],
  ] as const
  for (const [kind, folder, bosId] of folders) {
    const tokenizer = await loadTokenizer(folder)
    const thread = parseTokenizer(tokenizer.file.bytes, "the one file")
    t.same([tokenizer.bosId, tokenizer.decode([tokenizer.padId])], [bosId, ""], folder)
    const names = ["vocabSize", "bosId", "eosId", "padId"] as const
    for (const name of names) t.equal(thread[name], tokenizer[name])
    for (const { text, ids } of casesOf(kind)) {
      const options = { special: true, bos: bosId >= 0 }
      t.same(tokenizer.encode(text, options), ids, `${folder}: ${JSON.stringify(text)}`)
      t.same(thread.encode(text, options), ids)
      const plain = tokenizer.encode(text)
      const stream = tokenizer.stream()
      const parts = plain.map((id) => stream.push(id))
      t.equal(parts.join("") + stream.end(), kind === "neox" ? text.normalize("NFC") : text)
    }
  }
})

t.test("half a character is one U+FFFD, whole ones wait for their bytes", async (t) => {
  const gpt2 = await loadTokenizer(fixture("bpe/gpt2"))
  const bytes = gpt2.encode("🚀")
  t.equal(gpt2.decode(bytes.slice(0, 3)), "\ufffd")
  t.equal(gpt2.decode([...bytes.slice(0, 2), gpt2.eosId, ...bytes.slice(2)]), "🚀")
  t.throws(() => gpt2.decode([gpt2.vocabSize + 1]), { name: "RangeError" })
  t.same(gpt2.encode("a\ud800"), gpt2.encode("a\ufffd"))
})

t.test("words are those of GPT-2's regular expression", (t) => {
  const s = "\\p{White_Space}"
  const pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${s}\\p{L}\\p{N}]+|${s}+(?!\\P{White_Space})|${s}+`
  const below = randomOf(5)
  const parts = [..." \t\n\u0085\ufeff\u3000'aZé日12Ⅷ½!🚀\u0301", "'s", "'ll", "'LL", "  ", "𝐀"]
  for (let n = 0; n < 3000; n++) {
    const text = Array.from({ length: below(12) }, () => parts[below(parts.length)]).join("")
    const words: string[] = []
    gpt2Words(text, (word) => words.push(word))
    t.same(words, text.match(new RegExp(pattern, "gu")) ?? [], JSON.stringify(text))
  }
  t.end()
})

// ---- What the fields of a file change -----------------------------------------------------------

const json = fixtureJson("bpe/gpt2/tokenizer.json")
const byteLevel = json.pre_tokenizer
const made = (more: object, model: object = {}) =>
  parseTokenizer(
    new TextEncoder().encode(
      JSON.stringify({ ...json, ...more, model: { ...json.model, ...model } }),
    ),
    "made.json",
  )
const split = (pattern: object, more: object = {}) => ({
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern, behavior: "Isolated", invert: false, ...more },
      { ...byteLevel, use_regex: false },
    ],
  },
})

t.test("spaces in front, words, pairs, whole words and BOS as the file says", (t) => {
  const gpt2 = made({})
  const textsOf = (tokenizer: typeof gpt2, text: string): string =>
    tokenizer
      .encode(text, { special: true })
      .map((id) => tokenizer.decode([id]))
      .join("|")
  const prefixed = made({ pre_tokenizer: { ...byteLevel, add_prefix_space: true } })
  t.same(prefixed.encode("the tide"), gpt2.encode(" the tide"))
  t.same(prefixed.encode(" the tide"), gpt2.encode(" the tide"))
  const pairs = json.model.merges.map((pair: string) => pair.split(" "))
  t.same(made({}, { merges: pairs }).encode("The tide turned"), gpt2.encode("The tide turned"))
  const vocab = { ...json.model.vocab, xyz: 587 }
  t.equal(textsOf(made({}, { vocab }), "xyz"), "x|y|z")
  t.equal(textsOf(made({}, { vocab, ignore_merges: true }), "xyz"), "xyz")
  const pattern = "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|\\s+"
  const merges = ["1 2", "12 3", "123 1"]
  const single = Object.entries(json.model.vocab).filter(([, id]) => (id as number) < 256)
  const longer = ["12", "123", "1231"].map((text, i) => [text, 256 + i])
  const added_tokens = [{ id: 259, content: "<|endoftext|>", special: true }]
  const vocabulary = Object.fromEntries([...single, ...longer])
  const llama3 = made({ ...split({ Regex: pattern }), added_tokens }, { merges, vocab: vocabulary })
  t.equal(textsOf(llama3, "1231"), "123|1", "three digits at most")
  const digits = [{ type: "Digits", individual_digits: true }, byteLevel]
  t.equal(
    textsOf(made({ pre_tokenizer: { type: "Sequence", pretokenizers: digits } }), "1234"),
    "1|2|3|4",
  )
  t.equal(
    textsOf(made({ pre_tokenizer: { ...byteLevel, use_regex: false } }), "1234"),
    textsOf(gpt2, "1234"),
  )
  const token = (more: object) => ({
    added_tokens: [...json.added_tokens, { id: 587, content: "<x>", special: false, ...more }],
  })
  t.equal(
    textsOf(made(token({ lstrip: true, rstrip: true })), "a  <x>  b").replace("<x>", ""),
    "a||b",
  )
  t.equal(textsOf(made(token({ single_word: true })), "a<x>").includes("<x>"), false)
  const post_processor = {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "s", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    special_tokens: { s: { id: "s", ids: [586], tokens: ["<|endoftext|>"] } },
  }
  t.same(made({ post_processor }).encode("", { bos: true }), [586])
  t.end()
})

t.test("what has other rules is refused by name", (t) => {
  const sequence = (...pretokenizers: object[]) => ({
    pre_tokenizer: { type: "Sequence", pretokenizers },
  })
  const cases: readonly [object, object, RegExp][] = [
    [{ normalizer: { type: "Lowercase" } }, {}, /normalizer.*Lowercase/],
    [{ pre_tokenizer: null }, {}, /pre_tokenizer is "null"/],
    [sequence(byteLevel, { type: "Digits" }), {}, /ends with its only ByteLevel/],
    [sequence({ type: "Punctuation" }, byteLevel), {}, /pre_tokenizer.*Punctuation/],
    [split({ Regex: "\\w+" }), {}, /pre_tokenizer.*Split/],
    [split({ Regex: "^a" }), {}, /pre_tokenizer.*Split/],
    [split({ Regex: "a++" }), {}, /pre_tokenizer.*Split/],
    [split({ String: "a" }, { behavior: "Removed" }), {}, /Removed/],
    [
      { decoder: { type: "Sequence", decoders: [byteLevel, { type: "Strip" }] } },
      {},
      /decoder.*Strip/,
    ],
    [{ post_processor: { type: "RobertaProcessing" } }, {}, /post_processor.*Roberta/],
    [{}, { type: "Unigram" }, /model\.type is "Unigram"/],
    [{}, { byte_fallback: true }, /byte_fallback is true/],
    [{}, { end_of_word_suffix: "</w>" }, /end_of_word_suffix/],
  ]
  for (const [more, model, message] of cases) {
    t.throws(() => made(more, model), { name: "RangeError", message }, String(message))
  }
  const { "!": _, ...rest } = json.model.vocab
  const lacking = made({}, { vocab: { ...rest, odd: 0 } })
  t.throws(() => lacking.encode("a!"), { name: "RangeError", message: /no piece for the byte 33/ })
  t.end()
})

// ---- Files --------------------------------------------------------------------------------------

t.test("vocab.json needs merges.txt, and a class whose rules are GPT-2's", async (t) => {
  const bare = folderOf("gpt2", "bare", ["tokenizer.json", "tokenizer_config.json"])
  t.equal((await loadTokenizer(bare)).eosId, 586, "GPT-2's own token where no file names one")
  writeFileSync(join(bare, "added_tokens.json"), '{"<t>": 587}')
  t.same((await loadTokenizer(join(bare, "vocab.json"))).encode("a<t>"), [64, 587])
  const config = (text: string) => writeFileSync(join(bare, "tokenizer_config.json"), text)
  config('{"tokenizer_class": "CLIPTokenizer"}')
  await t.rejects(loadTokenizer(bare), { name: "RangeError", message: /tokenizer_class is "CLIP/ })
  config('{"eos_token": "<odd>"}')
  await t.rejects(loadTokenizer(bare), { name: "RangeError", message: /eos_token is "<odd>"/ })
  config('{"pad_token": "<pad>", "add_prefix_space": true}')
  const padded = await loadTokenizer(bare)
  t.same(
    [padded.padId, padded.encode("he")],
    [588, (await loadTokenizer(fixture("bpe/gpt2"))).encode(" he")],
  )
  writeFileSync(join(bare, "merges.txt"), "a b c\n")
  await t.rejects(loadTokenizer(bare), {
    name: "SyntaxError",
    message: /merges\.txt: merge 0 is "a b c"/,
  })
  rmSync(join(bare, "merges.txt"))
  await t.rejects(loadTokenizer(bare), {
    name: "Error",
    message: /nor vocab\.json with merges\.txt/,
  })
})

t.test("the files are read from a server, which may call a page a success", async (t) => {
  const folder = fixture("bpe/opt")
  const lacking = new Set<string>()
  const server = createServer(({ url = "" }, response) => {
    const name = basename(url)
    const isThere = !lacking.has(name) && readdirSync(folder).includes(name)
    response.end(isThere ? readFileSync(join(folder, name)) : "Not found\n")
  })
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const local = await loadTokenizer(folder)
  t.same((await loadTokenizer(url)).encode("The tide"), local.encode("The tide"))
  lacking.add("merges.txt")
  await t.rejects(loadTokenizer(url), { name: "Error", message: /nor vocab\.json with merges/ })
})

/** What generation and saving need: a small model of each family, with more rows than pieces. */
const sizes = { hidden_size: 24, num_hidden_layers: 1, num_attention_heads: 3, vocab_size: 640 }
const more = { max_position_embeddings: 32, intermediate_size: 19, ffn_dim: 19 }
const models = [
  { kind: "opt", model_type: "opt", without: [] },
  { kind: "neox", model_type: "gpt_neox", without: [] },
  { kind: "gpt2", model_type: "gpt_neox", without: ["tokenizer.json"] },
]

t.test("models generate with their files, which are saved and converted as is", async (t) => {
  const backend = new JsBackend()
  for (const { kind, model_type, without } of models) {
    const folder = folderOf(kind, `model-${kind}`, without)
    const given = readdirSync(folder)
    const config = parseConfig({ model_type, ...sizes, ...more }, "x")
    await (await LanguageModel.random(config, { backend, seed: 2 })).save(folder)
    const [model, same] = [
      await LanguageModel.load(folder, { backend }),
      await LanguageModel.load(folder, { backend, tokenizer: fixture(`bpe/${kind}`) }),
    ]
    const options = { maxNewTokens: 3, temperature: 0 }
    const { text } = await model.complete("The tide", options)
    t.equal(text, (await same.complete("The tide", options)).text)
    const saved = join(dir, `saved-${kind}`)
    await model.save(saved)
    const converted = join(dir, `converted-${kind}`)
    await convert(folder, converted, { to: "hf", dtype: "f32" })
    for (const name of given) {
      const bytes = readFileSync(join(folder, name))
      t.same(readFileSync(join(converted, name)), bytes, `${kind}: ${name}`)
      const isSaved = kind !== "neox" || name === "tokenizer.json"
      if (isSaved) t.same(readFileSync(join(saved, name)), bytes, `${kind}: ${name}`)
    }
  }
  const opt = await LanguageModel.load(join(dir, "model-opt"), { backend })
  const message = /tokenizer\.json, which is read before the vocab\.json/
  await t.rejects(opt.save(join(dir, "model-neox")), { name: "RangeError", message })
  writeFileSync(join(dir, "saved-opt", "added_tokens.json"), "{}")
  const beside = /added_tokens\.json, which is read with the vocab\.json/
  await t.rejects(opt.save(join(dir, "saved-opt")), { name: "RangeError", message: beside })
})

t.test("the time of a text without a break grows with its length, not its square", (t) => {
  const below = randomOf(3)
  const letters = Array.from({ length: 2e5 }, () => String.fromCharCode(97 + below(26)))
  const bytes = new TextEncoder().encode(JSON.stringify(json))
  const timeOf = (text: string): number => {
    const tokenizer = parseTokenizer(bytes, "made.json")
    tokenizer.encode("a")
    const start = performance.now()
    tokenizer.encode(text)
    return performance.now() - start
  }
  for (const word of ["a".repeat(2e5), " ".repeat(2e5), letters.join("")]) {
    const parts = [1, 10, 100].map((part) => word.slice(0, word.length / part))
    // Other programs run meanwhile: the least of several tries is of this one alone.
    const least = (text: string) => Math.min(...[1, 2, 3, 4, 5, 6].map(() => timeOf(text)))
    const [whole = 0, tenth = 0, hundredth = 0] = parts.map(least)
    // Where memory is fresh from some length on, that step takes longer; a square shows in both.
    const ratio = Math.min(whole / tenth, tenth / hundredth)
    t.ok(ratio < 50, `${word.slice(0, 8)}: ten times the text, ${ratio.toFixed(0)} times the time`)
  }
  t.end()
})
