// generation_config.json and lists of ends: what a folder says of generating, what options say over
// it, and what stays of it when a model is saved.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type GenerateOptions, loadTokenizer, OpenELM, open } from "../index.ts"
import { goldenFolder } from "./fixtures.ts"
import t from "./tap.ts"

const backend = await open("wasm", { threads: 1 })
const golden = goldenFolder()
t.teardown(async () => {
  await backend.close()
  golden.remove()
})
const file = join(golden.path, "generation_config.json")

/** Ids from the golden model with such a file in its folder; undefined for none. */
async function idsOf(generation: object | undefined, options: GenerateOptions = {}) {
  rmSync(file, { force: true })
  if (generation) writeFileSync(file, JSON.stringify(generation))
  await using model = await OpenELM.load(golden.path, { backend, tokenizer: null })
  const ids: number[] = []
  for await (const { id } of model.generate([1, 5], { maxNewTokens: 24, seed: 3, ...options })) {
    ids.push(id)
  }
  return ids
}

const sampled = { do_sample: true, temperature: 2.5, top_k: 20, top_p: 0.9 }
const asOptions = { temperature: 2.5, topK: 20, topP: 0.9, stop: [] }

t.test("sampling is as generation_config.json says, unless options say otherwise", async (t) => {
  const greedy = await idsOf(undefined, { stop: [] })
  const explicit = await idsOf(undefined, asOptions)
  t.notSame(explicit, greedy)
  const stop: number[] = []
  const hot = { temperature: 2.5, stop }
  const penalty1 = { repetitionPenalty: 1 }
  const rows: readonly [string, object, GenerateOptions, readonly number[]][] = [
    ["all of it", sampled, { stop }, explicit],
    ["no do_sample", { ...sampled, do_sample: undefined }, { stop }, greedy],
    ["do_sample false", { ...sampled, do_sample: false }, { stop }, greedy],
    ["fields of null", { ...sampled, do_sample: null, top_k: null }, { stop }, greedy],
    ["others' fields", { do_sample: false, guidance_scale: 1.3, _x: [1] }, { stop }, greedy],
    [
      "a processor's field",
      { repetition_penalty: 1.3, no_repeat_ngram_size: 2 },
      { stop },
      await idsOf(undefined, { repetitionPenalty: 1.3, noRepeatNgramSize: 2, stop }),
    ],
    ["options over a processor's field", { repetition_penalty: 9 }, { ...penalty1, stop }, greedy],
    [
      "temperature 1 by default",
      { do_sample: true },
      { stop },
      await idsOf(undefined, { temperature: 1, stop }),
    ],
    ["options win", sampled, { temperature: 0, stop }, greedy],
    ["one by one", sampled, { topK: 0, topP: 1, stop }, await idsOf(undefined, hot)],
    ["top_k for who samples", { top_k: 20, top_p: 0.9 }, hot, explicit],
  ]
  for (const [name, generation, options, want] of rows) {
    t.same(await idsOf(generation, options), want, name)
  }
})

t.test("a text ends at any of the ends", async (t) => {
  const all = await idsOf(undefined, asOptions)
  const config = join(golden.path, "config.json")
  const before = readFileSync(config, "utf8")
  const ends = async (inConfig: unknown, inGeneration: unknown): Promise<readonly number[]> => {
    writeFileSync(config, JSON.stringify({ ...JSON.parse(before), eos_token_id: inConfig }))
    const generation = inGeneration === undefined ? undefined : { eos_token_id: inGeneration }
    const { stop: _, ...rest } = asOptions
    return idsOf(generation, rest)
  }
  t.teardown(() => writeFileSync(config, before))
  const until = (id: number): number[] => all.slice(0, all.indexOf(id) + 1)
  const never = Array.from({ length: 128 }, (_, id) => id).find((id) => !all.includes(id)) as number
  const [a, b] = [all[2], all[4]] as [number, number]
  t.same(await ends(a, undefined), until(a))
  t.same(await ends([never, a], undefined), until(a))
  t.same(await ends([b, a], undefined), until(a), "whichever comes first")
  t.same(await ends(a, [never, b]), until(b), "generation_config.json replaces config.json's")
  t.same(await ends(a, b), until(b))
  t.same(await ends([never, a], null), until(a))
})

t.test("what generation_config.json cannot say names file and field", async (t) => {
  const refusals: readonly [object, string, RegExp][] = [
    [{ eos_token_id: [] }, "RangeError", /eos_token_id is \[\]/],
    [{ eos_token_id: 128 }, "RangeError", /eos_token_id is 128, expected an id below the 128/],
    [{ eos_token_id: "2" }, "TypeError", /eos_token_id is "2", expected an integer or a list/],
    [{ do_sample: 1 }, "TypeError", /do_sample is 1, expected true or false/],
    [{ temperature: -1 }, "RangeError", /temperature is -1/],
    [{ temperature: 1e-39 }, "RangeError", /temperature is 1e-39, expected a number that f32/],
    [{ temperature: "hot" }, "TypeError", /temperature is "hot"/],
    [{ top_k: 1.5 }, "RangeError", /top_k is 1.5, expected an integer/],
    [{ top_p: 0 }, "RangeError", /top_p is 0/],
    [{ top_p: 1.1 }, "RangeError", /top_p is 1.1/],
    [{ repetition_penalty: 0 }, "RangeError", /repetition_penalty is 0, expected a number above 0/],
    [{ bad_words_ids: [[200]] }, "RangeError", /bad_words_ids: a word: an id is 200/],
    [{ max_new_tokens: 0 }, "RangeError", /max_new_tokens is 0/],
    [{ max_length: 0 }, "RangeError", /max_length is 0/],
    [{ num_beams: 1.5 }, "RangeError", /num_beams is 1\.5, expected a whole number from 1/],
    [
      { early_stopping: "no" },
      "TypeError",
      /early_stopping is "no", expected true, false or "never"/,
    ],
    [[], "TypeError", /is \[\], expected a JSON object/],
  ]
  for (const [generation, name, message] of refusals) {
    await t.rejects(idsOf(generation), { name, message })
    await t.rejects(idsOf(generation), { message: /generation_config\.json/ })
  }
  writeFileSync(file, "{")
  await t.rejects(OpenELM.load(golden.path, { backend }), { message: /config\.json is not JSON/ })
})

t.test("beams and most tokens are as the file says, unless options say otherwise", async (t) => {
  const beams = { num_beams: 3, length_penalty: 2, early_stopping: "never" }
  writeFileSync(file, JSON.stringify({ ...beams, max_new_tokens: 7 }))
  await using model = await OpenELM.load(golden.path, { backend, tokenizer: null })
  rmSync(file)
  await using plain = await OpenELM.load(golden.path, { backend, tokenizer: null })
  const options = { stop: [], maxNewTokens: 7 }
  const asked = { numBeams: 3, lengthPenalty: 2, earlyStopping: "never" } as const
  const found = await model.complete([1, 5], { stop: [] })
  t.equal(found.ids.length, 7)
  t.same(found, await plain.complete([1, 5], { ...options, ...asked }))
  t.same(
    await model.complete([1, 5], { ...options, numBeams: 1 }),
    await plain.complete([1, 5], options),
  )
})

t.test("max_length counts the prompt, and max_new_tokens comes before it", async (t) => {
  const lengthFor = async (generation: object, prompt: readonly number[], options = {}) => {
    writeFileSync(file, JSON.stringify(generation))
    await using model = await OpenELM.load(golden.path, { backend, tokenizer: null })
    rmSync(file)
    return (await model.complete(prompt, { stop: [], ...options })).ids.length
  }
  t.equal(await lengthFor({ max_length: 9 }, [1, 5]), 7)
  t.equal(await lengthFor({ max_length: 2 }, [1, 5, 7]), 1, "one token at least")
  t.equal(await lengthFor({ max_length: 9, max_new_tokens: 3 }, [1, 5]), 3)
  t.equal(await lengthFor({ max_length: 9 }, [1, 5], { maxNewTokens: 4 }), 4)
})

t.test("a saved model generates as the one that was loaded", async (t) => {
  const out = mkdtempSync(join(tmpdir(), "openelm-generation-"))
  t.teardown(() => rmSync(out, { recursive: true }))
  const more = {
    min_p: 0.1,
    bad_words_ids: [[3, 4]],
    num_beams: 2,
    max_new_tokens: 9,
    max_length: 40,
  }
  writeFileSync(file, JSON.stringify({ ...sampled, eos_token_id: [2, 3], ...more }))
  await using model = await OpenELM.load(golden.path, { backend, tokenizer: null })
  await model.save(out)
  await using again = await OpenELM.load(out, { backend, tokenizer: null })
  t.same(again.config, model.config)
  t.match(again.config.generation, { eosIds: [2, 3], doSample: true, topP: 0.9, minP: 0.1 })
  t.match(again.config.generation, {
    badWords: [[3, 4]],
    numBeams: 2,
    maxNewTokens: 9,
    maxLength: 40,
  })
  rmSync(file)
  await using plain = await OpenELM.load(golden.path, { backend, tokenizer: null })
  const other = join(out, "other")
  await plain.save(other)
  t.notOk(existsSync(join(other, "generation_config.json")))
})

t.test(
  "a model is not saved where another's generation_config.json would be read for it",
  async (t) => {
    const out = mkdtempSync(join(tmpdir(), "openelm-stale-"))
    t.teardown(() => rmSync(out, { recursive: true }))
    const old = '{"do_sample": true, "temperature": 9}'
    writeFileSync(join(out, "generation_config.json"), old)
    rmSync(file, { force: true })
    await using plain = await OpenELM.load(golden.path, { backend, tokenizer: null })
    await t.rejects(plain.save(out), {
      name: "RangeError",
      message: /holds a generation_config\.json, which would be read for this model, that has none/,
    })
    t.same(readdirSync(out), ["generation_config.json"])
    t.equal(readFileSync(join(out, "generation_config.json"), "utf8"), old)
    writeFileSync(file, JSON.stringify(sampled))
    await using other = await OpenELM.load(golden.path, { backend, tokenizer: null })
    await other.save(out)
    await using again = await OpenELM.load(out, { backend, tokenizer: null })
    t.match(
      again.config.generation,
      { temperature: 2.5, topK: 20 },
      "its own takes the old one's place",
    )
  },
)

t.test("a tokenizer is not written where another would be read in its place", async (t) => {
  const out = mkdtempSync(join(tmpdir(), "openelm-tokenizers-"))
  t.teardown(() => rmSync(out, { recursive: true }))
  rmSync(file, { force: true })
  writeFileSync(join(out, "tokenizer.json"), "{}")
  const tokenizer = await loadTokenizer("byte")
  const named = {
    ...tokenizer,
    vocabSize: 100,
    file: { ...tokenizer.file, name: "tokenizer.model" },
  }
  await using model = await OpenELM.load(golden.path, { backend, tokenizer: named })
  await t.rejects(model.save(out), {
    name: "RangeError",
    message: /holds a tokenizer\.json, which is read before the tokenizer\.model of this model/,
  })
  t.notOk(existsSync(join(out, "model.safetensors")))
})
