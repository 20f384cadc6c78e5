// Tokens that are chosen on the host: transformers' own, those that the device would have drawn, how
// likely they were, and what hooks make of them.

import { type GenerateOptions, LanguageModel, OpenELM, type Token } from "../index.ts"
import { logSoftmax } from "../model/generate/processors/probabilities.ts"
import { allBackends } from "./backends.ts"
import { generationCases, optionsOf } from "./cases_of_generation.ts"
import { goldenFolder } from "./fixtures.ts"
import { collect, config, prompt, withModel } from "./small.ts"
import t from "./tap.ts"

const golden = goldenFolder()
t.teardown(golden.remove)

const greedy = Object.entries(generationCases).filter(
  ([, { kwargs, tokens }]) =>
    !("num_beams" in kwargs) &&
    !("prompt_lookup_num_tokens" in kwargs) &&
    !Array.isArray(tokens[0]),
)

for (const { label, open } of allBackends) {
  t.test(`greedy tokens after processors are transformers', on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await LanguageModel.load(golden.path, { backend, tokenizer: null })
    const some = /^(js|webgpu)$/.test(label) ? greedy.filter(([name]) => /p0$/.test(name)) : greedy
    for (const [name, { kwargs, prompt, tokens }] of some) {
      t.same(await collect(model, prompt, optionsOf(kwargs)), tokens, name)
    }
    t.ok(some.length > 5)
  })

  t.test(`to ask how likely tokens are changes none, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await OpenELM.random(config, { backend, seed: 5 })
    const ways = [
      { temperature: 0 },
      { temperature: 1.5, seed: 7 },
      { temperature: 0.8, topK: 20, topP: 0.9, seed: 2 ** 32 - 1 },
    ]
    for (const way of ways) {
      const options = { ...way, maxNewTokens: 12, stop: [] }
      const want = await collect(model, prompt, options)
      const tokens: Token[] = []
      for await (const token of model.generate(prompt, { ...options, logprobs: 3 })) {
        tokens.push(token)
      }
      t.same(
        tokens.map(({ id }) => id),
        want,
      )
      const logits = await model.logits([[...prompt, ...want]])
      const V = config.vocabSize
      for (const [i, { id, logprobs }] of tokens.entries()) {
        const at = (prompt.length - 1 + i) * V
        const row = logSoftmax(logits.subarray(at, at + V))
        const best = [...row.keys()].sort((a, b) => (row[b] as number) - (row[a] as number))
        t.ok(Math.abs((logprobs?.logprob as number) - (row[id] as number)) < 1e-4)
        t.same(
          logprobs?.top.map((each) => each.id),
          best.slice(0, 3),
        )
      }
    }
  })
}

t.test("what draws from fewer counts only where tokens are drawn", (t) =>
  withModel(async (model) => {
    const options = { maxNewTokens: 8 }
    const plain = await collect(model, prompt, options)
    t.same(await collect(model, prompt, { ...options, minP: 0.9, typicalP: 0.1 }), plain)
    const drawn = { ...options, temperature: 3, seed: 4 }
    t.notSame(await collect(model, prompt, drawn), plain)
    t.same(await collect(model, prompt, { ...drawn, minP: 1 }), plain, "only the likeliest is left")
  }),
)

t.test("hooks are called for every token, with where it stands", (t) =>
  withModel(async (model) => {
    const seen: number[][] = []
    const odd = await collect(model, prompt, {
      maxNewTokens: 4,
      logitsProcessor(scores, { ids, promptLength }) {
        t.equal(promptLength, prompt.length)
        seen.push([...ids])
        for (let i = 0; i < scores.length; i += 2) scores[i] = -Infinity
      },
    })
    t.ok(odd.every((id) => id % 2 === 1))
    t.same(
      seen,
      [0, 1, 2, 3].map((n) => [...prompt, ...odd.slice(0, n)]),
    )
    const last = (scores: Float64Array) => scores.length - 1
    const sampler = { maxNewTokens: 3, sampler: last }
    t.same(await collect(model, prompt, sampler), [100, 100, 100])
    await t.rejects(collect(model, prompt, { sampler: () => 101 }), /sampler gave 101, expected a/)
    const none = { logitsProcessor: (scores: Float64Array) => void scores.fill(-Infinity) }
    await t.rejects(collect(model, prompt, none), /the options rule out every token/)
  }),
)

t.test("options of processors are checked by name", (t) =>
  withModel(async (model) => {
    const rows: readonly [GenerateOptions, string, RegExp][] = [
      [{ repetitionPenalty: 0 }, "RangeError", /repetitionPenalty is 0, expected a number above 0/],
      [{ minP: 2 }, "RangeError", /minP is 2, expected a number from 0 to 1/],
      [{ minP: "x" as never }, "TypeError", /minP is "x", expected a number from 0 to 1/],
      [{ noRepeatNgramSize: 1.5 }, "RangeError", /is 1.5, expected a whole number from 0/],
      [{ badWords: ["a"] }, "TypeError", /holds the text "a", and this model has no tokenizer/],
      [{ badWords: [[]] }, "RangeError", /badWords: a word is empty/],
      [{ badWords: [[101]] }, "RangeError", /badWords: a word: an id is 101/],
      [{ logitBias: { 101: 1 } }, "RangeError", /logitBias: an id is 101/],
      [{ logitBias: { 1: Number.NaN } }, "RangeError", /the bias of 1 is NaN/],
      [{ logitBias: [1] as never }, "TypeError", /expected an object of ids with their biases/],
      [{ sequenceBias: [[1]] as never }, "TypeError", /expected a list of pairs/],
      [{ logprobs: 102 }, "RangeError", /logprobs must be a whole number from 0 to 101/],
      [{ sampler: 3 as never }, "TypeError", /sampler is 3, expected a function/],
      [{ top_k: 5 } as never, "TypeError", /there is no option "top_k"\. .* camelCase: topK/],
      [{ numBeams: 2 } as never, "TypeError", /numBeams is an option of complete/],
      [{ renormalizeLogits: 1 as never }, "TypeError", /is 1, expected true or false/],
      [{ exponentialDecayLengthPenalty: [1] as never }, "TypeError", /expected a pair/],
      [{ forcedEosTokenId: "x" as never }, "TypeError", /expected a token id or a list/],
    ]
    for (const [options, name, message] of rows) {
      await t.rejects(collect(model, prompt, options), { name, message })
    }
  }),
)
