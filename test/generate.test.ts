// Generation from text: the model's tokenizer makes ids of the prompt and text of what follows.
import { copyFileSync } from "node:fs"
import { join } from "node:path"
import { loadTokenizer, OpenELM, open, scaledConfig, type Token } from "../index.ts"
import { inference, internals } from "../model/index.ts"
import { fixture, goldenFolder } from "./fixtures.ts"
import t from "./tap.ts"

const config = scaledConfig({
  name: "small",
  layers: 2,
  modelDim: 32,
  headDim: 16,
  vocabSize: 420,
  maxContext: 64,
  queryHeadsPerKeyHead: 2,
})

const backend = await open("wasm", { threads: 1 })
t.teardown(() => backend.close())
const tiny = await loadTokenizer(fixture("data/tiny.model"))
const bytes = await loadTokenizer("byte")
const options = { maxNewTokens: 30, temperature: 2, stop: [] }

async function tokensOf(generation: AsyncIterable<Token>): Promise<Token[]> {
  const tokens: Token[] = []
  for await (const token of generation) tokens.push(token)
  return tokens
}

t.test("a text is the prompt that its ids are, with BOS in front", async (t) => {
  await using model = await OpenELM.random(config, { backend, tokenizer: tiny })
  t.equal(model.tokenizer, tiny)
  const ids = tiny.encode("The river", { bos: true })
  for (const seed of [1, 2, 3]) {
    const byText = await tokensOf(model.generate("The river", { ...options, seed }))
    t.same(await tokensOf(model.generate(ids, { ...options, seed })), byText)
    const all = tiny.decode([...ids, ...byText.map(({ id }) => id)])
    t.equal(`The river${byText.map(({ text }) => text).join("")}`, all)
  }
  const empty = await tokensOf(model.generate("", { ...options, maxNewTokens: 1 }))
  t.same(empty, await tokensOf(model.generate([1], { ...options, maxNewTokens: 1 })))
})

t.test("text comes in whole characters, the last token brings what is left", async (t) => {
  await using model = await OpenELM.random(config, { backend, tokenizer: bytes })
  const prompt = [...bytes.encode("é"), 0xc3]
  for (let seed = 0; seed < 20; seed++) {
    const tokens = await tokensOf(model.generate(prompt, { ...options, seed }))
    const text = tokens.map((token) => token.text).join("")
    // Rows of the model beyond the tokenizer's ids are no text.
    const ids = tokens.map(({ id }) => id).filter((id) => id < bytes.vocabSize)
    t.equal(`é${text}`, bytes.decode([...prompt, ...ids]))
  }
})

t.test("generation ends at the tokenizer's end of text too", async (t) => {
  await using model = await OpenELM.random(config, { backend, tokenizer: bytes })
  const last = new Set<number | undefined>()
  for (let seed = 0; seed < 40; seed++) {
    const tokens = await tokensOf(model.generate("a", { temperature: 5, seed }))
    last.add(tokens.at(-1)?.id)
    const ends = tokens.findIndex(({ id }) => id === config.eosId || id === bytes.eosId)
    t.equal(ends, ends < 0 ? -1 : tokens.length - 1)
  }
  t.ok(last.has(config.eosId) && last.has(bytes.eosId))
})

t.test("a model without a tokenizer takes ids and gives no text", async (t) => {
  await using model = await OpenELM.random(config, { backend })
  t.equal(model.tokenizer, undefined)
  const tokens = await tokensOf(model.generate([1, 2], { ...options, maxNewTokens: 3 }))
  t.same(
    tokens.map(({ text }) => text),
    ["", "", ""],
  )
  await t.rejects(tokensOf(model.generate("text")), {
    name: "TypeError",
    message: /no tokenizer for a text\. Load it with \{ tokenizer: /,
  })
})

t.test("a folder's tokenizer is loaded with it, unless another or none is asked for", async (t) => {
  const folder = goldenFolder()
  t.teardown(folder.remove)
  await using plain = await OpenELM.load(folder.path, { backend })
  t.equal(plain.tokenizer, undefined)
  copyFileSync(fixture("data/tiny.model"), join(folder.path, "tokenizer.model"))
  const tooSmall = /vocabulary of 128, its tokenizer 420 pieces/
  await t.rejects(OpenELM.load(folder.path, { backend }), { name: "RangeError", message: tooSmall })
  await using none = await OpenELM.load(folder.path, { backend, tokenizer: null })
  t.equal(none.tokenizer, undefined)
  await t.rejects(OpenELM.load(folder.path, { backend, tokenizer: {} as never }), {
    name: "TypeError",
    message: /tokenizer must be a Tokenizer, the path of one, or null/,
  })
  await t.rejects(
    OpenELM.load(folder.path, { backend, tokenizer: "nowhere" }),
    /Cannot open nowhere/,
  )
  await using random = await OpenELM.random(config, { backend, tokenizer: folder.path })
  t.equal(random.tokenizer?.vocabSize, 420)
  t.equal(internals(random).variant(inference).tokenizer, random.tokenizer)
})
