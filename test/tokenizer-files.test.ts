// What a tokenizer is loaded from: the two formats, folders, bytes; what is refused; and streams.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { loadTokenizer, parseTokenizer, type Tokenizer } from "../index.ts"
import { fixture, fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"
import { jsonBytes, llamaTokenizers, modelBytes, randomOf, withSpecials } from "./tokenizers.ts"

const dir = mkdtempSync(join(tmpdir(), "openelm-tokenizer-"))
t.teardown(() => rmSync(dir, { recursive: true }))

const tiny = await loadTokenizer(fixture("data/tiny.model"))

t.test("a folder gives its tokenizer.json, else its tokenizer.model, else an error", async (t) => {
  await t.rejects(loadTokenizer(dir), {
    name: "Error",
    message: /has no tokenizer\.model or tokenizer\.json/,
  })
  await t.rejects(loadTokenizer(join(dir, "x.model")), /Cannot open .*x\.model: no such file/)
  await t.rejects(loadTokenizer(7 as never), { name: "TypeError", message: /path or "byte"/ })
  copyFileSync(fixture("data/tiny.model"), join(dir, "tokenizer.model"))
  const found = await loadTokenizer(dir)
  t.same([found.vocabSize, found.file.name], [420, "tokenizer.model"])
  const bytes = await loadTokenizer("byte")
  writeFileSync(join(dir, bytes.file.name), bytes.file.bytes)
  const both = await loadTokenizer(dir)
  t.same([both.vocabSize, both.file.name], [259, "tokenizer.json"], "as transformers reads it")
  t.same(parseTokenizer(found.file.bytes, "again").encode("The river"), found.encode("The river"))
})

t.test("the byte tokenizer is UTF-8 and three special ids", async (t) => {
  const bytes = await loadTokenizer("byte")
  t.same([bytes.vocabSize, bytes.bosId, bytes.eosId, bytes.padId], [259, 256, 257, 258])
  t.same(bytes.encode("aé", { bos: true, eos: true }), [256, 97, 0xc3, 0xa9, 257])
  t.equal(bytes.decode([256, 97, 0xc3, 0xa9, 257, 258]), "aé")
  t.equal(bytes.decode([0xc3]), "\ufffd")
  t.throws(() => bytes.decode([259]), { name: "RangeError", message: /0 … 258, got 259/ })
})

// ---- tokenizer.json -----------------------------------------------------------------------------

const vocab = [...withSpecials([]).map(({ text }) => text), ..."▁ a b ▁a ab <t> aa".split(" ")]
const merges = ["▁ a", "a b", "a a"]
const at = (text: string): number => vocab.indexOf(text)
const metaspace = (more: object) => ({
  normalizer: null,
  pre_tokenizer: {
    type: "Metaspace",
    replacement: "▁",
    prepend_scheme: "first",
    split: false,
    ...more,
  },
})

t.test("tokenizer.json: prefixes, forced cuts and added tokens as the file says", (t) => {
  const idsOf = (more: object, text: string): string => {
    const ids = parseTokenizer(jsonBytes(vocab, merges, more), "made.json").encode(text)
    return ids.map((id) => vocab[id]).join(" ")
  }
  const added = { added_tokens: [{ id: at("<t>"), content: "<t>", special: false }] }
  t.equal(idsOf({}, " ab"), "▁ ▁a b", "Prepend puts a space before any text")
  t.equal(idsOf(metaspace({}), " ab"), "▁a b", "Metaspace where there is none")
  t.equal(idsOf(metaspace({}), "ab"), "▁a b")
  t.equal(idsOf(metaspace({ prepend_scheme: "never" }), "ab"), "ab")
  t.equal(idsOf({ ...added }, "ab<t>ab"), "▁a b <t> ▁a b", "a part for itself, with its prefix")
  t.equal(idsOf({ ...metaspace({}), ...added }, "ab<t>ab"), "▁a b <t> ab", "the first part only")
  t.equal(idsOf({ ...metaspace({}), ...added }, "<t>ab"), "<t> ab")
  const special = { added_tokens: [{ id: at("<t>"), content: "<t>", special: true }] }
  t.equal(idsOf(special, "a<t>").includes("<t>"), false, "text makes no control tokens")
  const wide = [...vocab, "b▁a"]
  const split = jsonBytes(wide, ["▁ a", "b ▁a"], metaspace({ split: true }))
  t.same(
    parseTokenizer(split, "made.json")
      .encode("ab ab")
      .map((id) => wide[id])
      .join(" "),
    "▁a b ▁a b",
  )
  const joined = jsonBytes(wide, ["▁ a", "b ▁a"], metaspace({}))
  t.same(
    parseTokenizer(joined, "made.json")
      .encode("ab ab")
      .map((id) => wide[id])
      .join(" "),
    "▁a b▁a b",
  )
  const kept = parseTokenizer(jsonBytes(vocab, merges, { decoder: { type: "Fuse" } }), "made.json")
  t.equal(kept.decode([at("▁a")]), " a", "the decoder says whether the first space goes")
  t.end()
})

// ---- What is refused ----------------------------------------------------------------------------

t.test("files that are broken or not supported have one clear error", (t) => {
  const pieces = withSpecials([{ text: "a", score: 0 }])
  const model = (...args: Parameters<typeof modelBytes>) => modelBytes(...args)
  const json = (more: object, modelPart: object = {}) => jsonBytes(vocab, merges, more, modelPart)
  const cases: readonly [Uint8Array, string, RegExp][] = [
    [model(pieces, { 3: 1 }), "RangeError", /it is a unigram model, expected bpe/],
    [model(pieces, { 24: 1 }), "RangeError", /end with their space/],
    [model(pieces, {}, { 5: 0 }), "RangeError", /keeps spaces as they are/],
    [model(pieces.slice(1)), "RangeError", /0 unknown pieces, expected 1/],
    [model(pieces.filter(({ text }) => text !== "<0x41>")), "RangeError", /255 byte pieces/],
    [model([...pieces, ...pieces.slice(-1)]), "RangeError", /pieces 259 and 260 are both "a"/],
    [model([{ text: "", score: 0 }]), "SyntaxError", /piece 0 has 0 characters/],
    [model(pieces).subarray(0, 50), "SyntaxError", /field 1 has 15 bytes where 3 are left/],
    [Uint8Array.of(0x0b), "SyntaxError", /wire type 3/],
    [new Uint8Array(0), "SyntaxError", /holds no pieces/],
    [Uint8Array.from({ length: 20 }, () => 0xff), "SyntaxError", /longer than 64 bits/],
    [new TextEncoder().encode("{"), "SyntaxError", /is not JSON/],
    [json({}, { type: "Unigram" }), "RangeError", /model\.type is "Unigram", expected "BPE"/],
    [json({ pre_tokenizer: { type: "ByteLevel" } }), "RangeError", /pre_tokenizer.*ByteLevel/],
    [json({ normalizer: { type: "NFKC" } }), "RangeError", /normalizer.*NFKC/],
    [json({ decoder: { type: "WordPiece" } }), "RangeError", /decoder.*WordPiece/],
    [json({}, { ignore_merges: true }), "RangeError", /ignore_merges/],
    [json({}, { dropout: 0.1 }), "RangeError", /dropout is 0\.1, expected none/],
    [json({}, { vocab: { a: 1 } }), "RangeError", /the id 1 to both "a" and "<s>"/],
    [json({}, { vocab: { a: 9 } }), "RangeError", /has no piece 3 of 10/],
    [json({}, { vocab: { a: 3 } }), "RangeError", /has 0 byte pieces, expected 256/],
    [json({}, { vocab: { a: -1 } }), "SyntaxError", /the id of "a" is -1/],
    [json({ added_tokens: [{ id: 1 }] }), "SyntaxError", /added_tokens\[0\]/],
  ]
  for (const [bytes, name, message] of cases) {
    t.throws(() => parseTokenizer(bytes, "made"), { name, message }, String(message))
  }
  const odd = parseTokenizer(json({}, { merges: ["a x"] }), "made")
  t.throws(() => odd.encode("a"), { name: "SyntaxError", message: /merges\[0\] is "a x"/ })
  const none = parseTokenizer(modelBytes(pieces.filter(({ kind }) => kind !== "control")), "made")
  t.throws(() => none.encode("a", { bos: true }), {
    name: "RangeError",
    message: /no token for bos/,
  })
  t.end()
})

t.test("damaged models are refused, or read, without a crash", (t) => {
  const below = randomOf(21)
  const counts = { read: 0, refused: 0 }
  for (let n = 0; n < 300; n++) {
    const bytes = tiny.file.bytes.slice(0, n % 3 === 0 ? below(tiny.file.bytes.length) : undefined)
    for (let k = 0; k < 1 + below(4); k++) bytes[below(bytes.length)] = below(256)
    try {
      parseTokenizer(bytes, "damaged").encode("The river")
      counts.read++
    } catch (error) {
      const { name, message } = error as Error
      if (!/^(Syntax|Range)Error$/.test(name) || !message.includes("damaged")) throw error
      counts.refused++
    }
  }
  t.ok(counts.read > 20 && counts.refused > 100, JSON.stringify(counts))
  t.end()
})

// ---- Streams ------------------------------------------------------------------------------------

const { model: llama } = llamaTokenizers()
const tokenizers: readonly (readonly [string, Tokenizer])[] = [
  ["tiny", tiny],
  ["llama", llama],
  ["byte", await loadTokenizer("byte")],
]

t.test("a stream gives what decode gives, in whole characters", (t) => {
  const below = randomOf(31)
  const texts = (fixtureJson("data/tokenizer_cases.json").cases as { text: string }[]).map(
    ({ text }) => text,
  )
  for (const [name, tokenizer] of tokenizers) {
    const noise = Array.from({ length: 200 }, () =>
      Array.from({ length: 12 }, () => below(Math.min(tokenizer.vocabSize, 600))),
    )
    for (const ids of [...texts.map((text) => tokenizer.encode(text, { bos: true })), ...noise]) {
      const stream = tokenizer.stream()
      const parts = ids.map((id) => stream.push(id))
      const text = parts.join("") + stream.end()
      t.equal(text, tokenizer.decode(ids), name)
      for (const part of parts) if (/\p{Surrogate}/u.test(part)) t.fail(`half a character: ${part}`)
    }
    const stream = tokenizer.stream()
    const parts = tokenizer.encode("é😀").map((id) => stream.push(id))
    t.same(parts.filter((part) => part !== "").join("|"), "é|😀", "nothing before it is whole")
  }
  t.end()
})
