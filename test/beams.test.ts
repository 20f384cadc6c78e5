// Beams against transformers' own: tokens and scores, with ends, penalties and ways to stop; and drawn.

import { type CompleteOptions, LanguageModel, OpenELM } from "../index.ts"
import { Batch } from "../model/generate/batch.ts"
import { logSoftmax } from "../model/generate/processors/probabilities.ts"
import { internals } from "../model/index.ts"
import { allBackends, relativeError } from "./backends.ts"
import { type Case, generationCases, optionsOf } from "./cases_of_generation.ts"
import { goldenFolder } from "./fixtures.ts"
import { collect, config, prompt, withModel } from "./small.ts"
import t from "./tap.ts"

const golden = goldenFolder()
t.teardown(golden.remove)

const cases = Object.entries(generationCases).filter(([, { kwargs }]) => "num_beams" in kwargs)

/** Their rows are filled up with the padding id. */
function unpadded({ kwargs, tokens }: Case): number[][] {
  const ends = [kwargs.eos_token_id ?? []].flat()
  return (tokens as number[][]).map((row) => {
    const end = row.findIndex((id) => ends.includes(id))
    return end < 0 ? row : row.slice(0, end + 1)
  })
}

for (const { label, open } of allBackends) {
  t.test(`beams have transformers' tokens and scores, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await LanguageModel.load(golden.path, { backend, tokenizer: null })
    const some = /^(js|webgpu)$/.test(label)
      ? cases.filter(([name]) => /^beam3\/p0|(lp1|lp-1|never)\/p1/.test(name))
      : cases
    for (const [name, each] of some) {
      const found = await model.complete([each.prompt], optionsOf(each.kwargs))
      t.same(
        found.map(({ ids }) => ids),
        unpadded(each),
        name,
      )
      const scores = found.map(({ score }) => score as number)
      const error = relativeError(scores, each.sequences_scores as number[])
      t.ok(error < 1e-5, `${name}: scores are off by ${error.toExponential(1)}`)
    }
    t.ok(some.length > 2)
  })

  t.test(`sequences of a batch are copied, in f32 and f16, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    for (const cache of ["f32", "f16"] as const) {
      await using model = await OpenELM.random(config, { backend, seed: 5, cache })
      const batch = new Batch(internals(model).decoder, backend, 3, { capacity: 32, cache })
      const rows = [[1, 2, 3], [9, 8, 7, 6, 5], [4]]
      for (const [i, ids] of rows.entries()) await batch.read(i, ids)
      const V = config.vocabSize
      await batch.copy(Int32Array.of(1, 0, 1))
      t.same(
        [0, 1, 2].map((i) => batch.lengthOf(i)),
        [5, 3, 5],
      )
      const after = await batch.logits(Int32Array.of(11, 11, 11))
      const want = await Promise.all([1, 0, 1].map((i) => model.logits([[...(rows[i] ?? []), 11]])))
      for (const [i, all] of want.entries()) {
        const error = relativeError(after.subarray(i * V, (i + 1) * V), all.subarray(-V))
        t.ok(error < (cache === "f32" ? 1e-5 : 1e-3), `${cache}: sequence ${i} is off by ${error}`)
      }
      batch.close()
    }
  })
}

t.test("one beam is no search, and beams are the model's default where its file says so", (t) =>
  withModel(async (model) => {
    const options = { maxNewTokens: 6, stop: [] }
    const one = await model.complete(prompt, { ...options, numBeams: 1 })
    t.same(one.ids, await collect(model, prompt, options))
    t.equal(one.score, undefined)
    const several = await model.complete(prompt, { ...options, numBeams: 4, logprobs: 1 })
    const sum = several.logprobs?.reduce((total, row) => total + (row?.logprob ?? 0), 0)
    t.ok(Math.abs((several.score as number) - (sum as number) / 6) < 1e-5, "the mean of log p")
    t.ok((several.score as number) >= -10)
    const none = await model.complete(prompt, { numBeams: 2, maxNewTokens: 0 })
    t.same(none.ids, [])
  }),
)

t.test("as many beams as tokens find the best of all pairs", async (t) => {
  const V = 13
  const tiny = { ...config, vocabSize: V }
  await withModel(async (_, backend) => {
    for (const seed of [1, 2, 3]) {
      await using model = await OpenELM.random(tiny, { backend, seed })
      const after = async (ids: readonly number[]) =>
        logSoftmax((await model.logits([ids])).subarray(-V))
      const first = await after([1, 2, 3])
      const pairs: { ids: number[]; sum: number }[] = []
      for (let a = 0; a < V; a++) {
        const second = await after([1, 2, 3, a])
        second.forEach((x, b) => {
          pairs.push({ ids: [a, b], sum: (first[a] as number) + x })
        })
      }
      pairs.sort((x, y) => y.sum - x.sum)
      const options = { maxNewTokens: 2, numBeams: V, numReturnSequences: 3, stop: [] }
      const found = await model.complete([1, 2, 3], options)
      t.same(
        found.map(({ ids }) => ids),
        pairs.slice(0, 3).map(({ ids }) => ids),
      )
    }
  })
})

t.test("beams are drawn from a seed, where the temperature is above 0", (t) =>
  withModel(async (model) => {
    const options = { maxNewTokens: 8, stop: [], numBeams: 3, numReturnSequences: 2 }
    const of = async (seed: number) => {
      const drawn = { ...options, temperature: 2, topK: 30, seed }
      return (await model.complete(prompt, drawn)).map(({ ids }) => ids.join())
    }
    const [a, b, again] = [await of(1), await of(2), await of(1)]
    t.same(a, again)
    t.notSame(a, b)
    t.equal(new Set(a).size, 2)
  }),
)

t.test("what beams are asked for is checked", (t) =>
  withModel(async (model) => {
    const rows: readonly [CompleteOptions, string, RegExp][] = [
      [{ numBeams: 0 }, "RangeError", /numBeams is 0, expected a whole number from 1/],
      [{ numBeams: 2, numReturnSequences: 3 }, "RangeError", /is 3, and there are 2 beams/],
      [{ lengthPenalty: Number.NaN }, "RangeError", /lengthPenalty is NaN, expected a number/],
      [
        { earlyStopping: "no" as never },
        "TypeError",
        /earlyStopping is "no", expected true, false/,
      ],
      [{ numBeams: 2, promptLookupNumTokens: 3 }, "TypeError", /guesses are of one continuation/],
      [{ numBeams: 2, sampler: () => 0 }, "TypeError", /a sampler chooses one token/],
    ]
    for (const [options, name, message] of rows) {
      await t.rejects(model.complete(prompt, options), { name, message })
    }
  }),
)
