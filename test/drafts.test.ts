// Drafts: what is guessed and what of it holds as transformers has it; the likeliest tokens are those
// without drafts, and what is drawn has the same distribution.

import {
  type DraftRound,
  type GenerateOptions,
  LanguageModel,
  type OpenBackend,
  OpenELM,
  open,
  scaledConfig,
} from "../index.ts"
import { holds, remainder } from "../model/generate/draft.ts"
import { lookedUp } from "../model/generate/lookup.ts"
import { softmax } from "../model/generate/processors/probabilities.ts"
import { allBackends } from "./backends.ts"
import { generationCases, optionsOf } from "./cases_of_generation.ts"
import { smallPart } from "./driver.ts"
import { fixtureJson, goldenFolder } from "./fixtures.ts"
import { collect, config, prompt, withModel } from "./small.ts"
import t from "./tap.ts"

const golden = goldenFolder()
t.teardown(golden.remove)
const { prompt_lookup: lookups, speculative } = fixtureJson("generation/processors.json")

t.test("what is looked up in the text is what transformers finds", (t) => {
  for (const { ids, num_output_tokens, max_matching_ngram_size, candidate } of lookups) {
    t.same(lookedUp(ids, num_output_tokens, max_matching_ngram_size), candidate ?? [])
  }
  t.ok(lookups.length > 10)
  t.end()
})

t.test("of drafts that were drawn, as many hold, and the next is drawn from the same", (t) => {
  for (const { p_i, q_i, u, n_accepted, next_distribution, p_rows, q_row } of speculative) {
    const held = p_i.map((p: number, i: number) => holds(p, q_i[i], u[i]))
    const count = [...held, false].indexOf(false)
    t.equal(count, n_accepted)
    const p = softmax(p_rows.flat())
    const next = q_row ? remainder(p, softmax(q_row.flat())) : p
    const errors = [...next].map((x, i) => Math.abs(x - next_distribution[i]))
    t.ok(Math.max(...errors) < 1e-6, `off by ${Math.max(...errors)}`)
  }
  const p = Float64Array.of(0.5, 0.5)
  t.same(remainder(p, p), p, "of equal distributions nothing is left")
  t.end()
})

/** A step of a small model is shorter than what threads cost. */
async function onOneThread(run: (backend: OpenBackend) => Promise<void>): Promise<void> {
  await using backend = await open("wasm", { threads: 1 })
  await run(backend)
}

const cases = Object.entries(generationCases).filter(([, { rounds }]) => rounds)

/** The slowest is one of several. */
const tried = allBackends.filter(({ label }) => smallPart === undefined || label !== "js")

for (const { label, open: openBackend } of tried) {
  t.test(`tokens and rounds of drafts are transformers', on ${label}`, async (t) => {
    const backend = await openBackend()
    t.teardown(() => backend.close())
    await using model = await LanguageModel.load(golden.path, { backend, tokenizer: null })
    const some = /^(js|webgpu)$/.test(label)
      ? cases.filter(([name]) => /^(lookup3|assist_first2)\/p2/.test(name))
      : cases
    for (const [name, { kwargs, prompt, tokens, rounds = [] }] of some) {
      const found: number[][] = []
      const onDraft = ({ drafted, accepted, planned }: DraftRound) =>
        found.push([drafted, accepted, ...(planned === undefined ? [] : [planned])])
      const by = name.startsWith("assist_first2") ? { assistantEarlyExit: 2 } : {}
      const options = { ...optionsOf(kwargs), ...by, onDraft }
      t.same(await collect(model, prompt, options), tokens, name)
      t.same(found, rounds, `rounds of ${name}`)
    }
    t.ok(some.length > 1)
  })
}

t.test("the likeliest tokens are the same with drafts, for a thousand prompts", (t) =>
  onOneThread(async (backend) => {
    await using model = await OpenELM.random(config, { backend, seed: 1 })
    await using assistantModel = await OpenELM.random(config, { backend, seed: 1, dtype: "q8" })
    const ways: readonly GenerateOptions[] = [
      { promptLookupNumTokens: 6 },
      { assistantEarlyExit: 1 },
      { assistantModel },
      { promptLookupNumTokens: 3, repetitionPenalty: 1.3, noRepeatNgramSize: 3 },
    ]
    let [drafted, accepted, others] = [0, 0, 0]
    const onDraft = (round: DraftRound): void => {
      drafted += round.drafted
      accepted += round.accepted
    }
    for (let i = 0; i < 1000; i++) {
      const ids = Array.from({ length: 1 + (i % 13) }, (_, j) => (i * 31 + j * j * 7 + 3) % 101)
      const { promptLookupNumTokens: _, ...plain } = ways[i % ways.length] as GenerateOptions
      const { assistantEarlyExit: __, assistantModel: ___, ...rest } = plain
      const options = { maxNewTokens: 3 + (i % 8), stop: [(i * 17) % 101] }
      const want = await collect(model, ids, { ...options, ...rest })
      const got = await collect(model, ids, { ...options, ...ways[i % ways.length], onDraft })
      if (got.join() !== want.join()) others++
    }
    t.equal(others, 0)
    t.ok(accepted > drafted / 10, `${accepted} of ${drafted} hold`)
  }),
)

t.test("tokens that are drawn are the same where the text is looked up", (t) =>
  withModel(async (model) => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const options = { maxNewTokens: 40, temperature: 0.7, topK: 3, seed, stop: [] }
      const want = await collect(model, [1, 2, 1, 2], options)
      let accepted = 0
      const onDraft = (round: DraftRound): void => {
        accepted += round.accepted
      }
      const drafts = { ...options, promptLookupNumTokens: 4, onDraft }
      t.same(await collect(model, [1, 2, 1, 2], drafts), want)
      t.ok(accepted > 0)
      const completed = await model.complete([[1, 2, 1, 2], [1]], { ...drafts, logprobs: 0 })
      t.same(completed[0]?.ids, want)
    }
  }),
)

t.test("tokens that a draft is drawn for have the model's distribution", async (t) => {
  const V = 12
  const tiny = scaledConfig({
    ...{ name: "tiny", layers: 2, modelDim: 32, headDim: 16, vocabSize: V, maxContext: 64 },
    queryHeadsPerKeyHead: 2,
  })
  await onOneThread(async (backend) => {
    await using model = await OpenELM.random(tiny, { backend, seed: 3 })
    await using assistantModel = await OpenELM.random(tiny, { backend, seed: 9 })
    const ids = [1, 5, 7]
    const temperature = 0.3
    const distribution = async (before: readonly number[]) =>
      softmax((await model.logits([before])).subarray(-V).map((x) => x / temperature))
    const first = await distribution(ids)
    const second = new Float64Array(V)
    for (let a = 0; a < V; a++) {
      const after = await distribution([...ids, a])
      for (let b = 0; b < V; b++)
        second[b] = (second[b] as number) + (first[a] as number) * (after[b] as number)
    }
    for (const by of [{ assistantModel }, { assistantEarlyExit: 1 }]) {
      const counts = [first, second].map(() => new Float64Array(V))
      const draws = 3000
      for (let seed = 0; seed < draws; seed++) {
        const options = { maxNewTokens: 3, temperature, seed, stop: [], ...by }
        const tokens = await collect(model, ids, options)
        for (const [i, row] of counts.entries())
          row[tokens[i] as number] = (row[tokens[i] as number] as number) + 1
      }
      for (const [i, want] of [first, second].entries()) {
        const chi = want.reduce(
          (sum, p, k) => sum + ((counts[i]?.[k] as number) - draws * p) ** 2 / (draws * p),
          0,
        )
        // 11 degrees of freedom: above 31.3 in one of a thousand.
        t.ok(chi < 31.3, `token ${i}: chi-squared ${chi.toFixed(1)}`)
      }
    }
  })
})

t.test("how much is guessed is as asked", (t) =>
  withModel(async (model) => {
    const planned = async (options: GenerateOptions): Promise<number[]> => {
      const found: number[] = []
      const onDraft = (round: DraftRound) => found.push(round.planned ?? round.drafted)
      await collect(model, prompt, { maxNewTokens: 20, assistantModel: model, onDraft, ...options })
      return found
    }
    t.same(await planned({ numAssistantTokens: 2 }), [2, 4, 6, 8], "all of its own hold")
    const constant = { numAssistantTokensSchedule: "constant" } as const
    t.same(await planned({ numAssistantTokens: 4, ...constant }), [4, 4, 4, 4])
  }),
)

t.test("what drafts are asked for is checked", (t) =>
  withModel(async (model, backend) => {
    await using other = await OpenELM.random({ ...config, vocabSize: 99 }, { backend })
    const rows: readonly [GenerateOptions, string, RegExp][] = [
      [{ promptLookupNumTokens: 0 }, "RangeError", /promptLookupNumTokens is 0, expected a whole/],
      [{ assistantEarlyExit: 3 }, "RangeError", /is 3, expected a whole number from 1 to 2/],
      [{ assistantModel: {} as never }, "TypeError", /is an object, expected a LanguageModel/],
      [{ assistantModel: other }, "RangeError", /a vocabulary of 99, this model one of 101/],
      [
        { assistantEarlyExit: 1, promptLookupNumTokens: 1 },
        "TypeError",
        /promptLookupNumTokens and assistantEarlyExit are given, expected one of them/,
      ],
      [{ numAssistantTokens: 0 }, "RangeError", /numAssistantTokens is 0, expected a whole number/],
      [{ maxMatchingNgramSize: 0 }, "RangeError", /maxMatchingNgramSize is 0, expected a whole/],
      [
        { numAssistantTokensSchedule: "some" as never },
        "TypeError",
        /is "some", expected "heuristic" or "constant"/,
      ],
      [{ promptLookupNumTokens: 1, onDraft: 1 as never }, "TypeError", /onDraft is 1, expected a/],
    ]
    for (const [options, name, message] of rows) {
      await t.rejects(collect(model, prompt, options), { name, message })
    }
  }),
)

t.test("drafts end with the cache, and what they took is given back", (t) =>
  withModel(async (_, backend) => {
    const options = { backend, seed: 1, capacity: 20 }
    await using model = await OpenELM.random(config, options)
    await using assistantModel = await OpenELM.random(config, { ...options, capacity: 9 })
    const want = await collect(model, prompt, {})
    for (const by of [
      { assistantModel },
      { assistantEarlyExit: 2 },
      { promptLookupNumTokens: 9 },
    ]) {
      t.same(await collect(model, prompt, by), want)
    }
    t.same(await collect(model, prompt, { assistantModel: model }), want, "its own assistant")
    const left = model.generate(prompt, { assistantModel, stop: [] })
    await left.next()
    await left.return()
  }),
)
