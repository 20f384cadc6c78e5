// Whole continuations: many prompts in one plan have the tokens that each has alone, whoever goes before.

import { type CompleteOptions, loadTokenizer, OpenELM, type Prompt } from "../index.ts"
import { internals } from "../model/index.ts"
import { allBackends } from "./backends.ts"
import { fixture } from "./fixtures.ts"
import { collect, config, withModel } from "./small.ts"
import t from "./tap.ts"

const V = config.vocabSize
const textOf = (length: number, from: number): number[] =>
  Array.from({ length }, (_, i) => (7 * i * i + 3 * i + from) % V)
const prompts = [5, 1, 19, 33, 2, 40, 7].map(textOf)

const ways: Readonly<Record<string, CompleteOptions>> = {
  greedy: { maxNewTokens: 9, stop: [] },
  "drawn, with ends": { maxNewTokens: 12, temperature: 1.5, topK: 40, stop: [3, 9, 27, 81, 5, 11] },
  "chosen on the host": {
    ...{ maxNewTokens: 8, temperature: 1.2, minP: 0.01, repetitionPenalty: 1.3 },
    ...{ logprobs: 2, stop: [3, 9] },
  },
}

for (const { label, open } of allBackends) {
  t.test(`many prompts in one plan are completed as each alone, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await OpenELM.random(config, { backend, seed: 5 })
    const some = /^(js|webgpu)$/.test(label) ? prompts.slice(0, 3) : prompts
    const seed = some.map((_, i) => 100 + i)
    const batchSize = label === "webgpu" ? 2 : 3
    for (const [way, options] of Object.entries(ways)) {
      const all = await model.complete(some, { ...options, seed, batchSize })
      t.equal(all.length, some.length)
      for (const [i, completion] of all.entries()) {
        const prompt = prompts[i] as number[]
        const alone = await model.complete(prompt, { ...options, seed: 100 + i })
        const { logprobs: together, ...rest } = completion
        const { logprobs, ...want } = alone
        t.same(rest, want, `${way}: prompt ${i}`)
        t.same(want.ids, await collect(model, prompt, { ...options, seed: 100 + i } as object))
        const errors = (together ?? []).map((row, j) =>
          Math.abs((row?.logprob ?? 0) - (logprobs?.[j]?.logprob ?? 0)),
        )
        const worst = Math.max(0, ...errors)
        // Products of one row and of several add in different orders.
        t.ok(worst < 1e-5, `log p differ by ${worst}`)
      }
    }
  })
}

t.test("a prompt is completed several times, from seeds that follow each other", (t) =>
  withModel(async (model) => {
    const options = { maxNewTokens: 6, temperature: 2, stop: [] }
    const [a, b] = [textOf(4, 1), textOf(9, 2)]
    const all = await model.complete([a, b], { ...options, numReturnSequences: 3, seed: [7, 50] })
    const want = []
    for (const [prompt, seed] of [
      [a, 7],
      [b, 50],
    ] as const) {
      for (const j of [0, 1, 2]) {
        want.push(await collect(model, prompt, { ...options, seed: seed + j }))
      }
    }
    t.same(
      all.map(({ ids }) => ids),
      want,
    )
    const last = await model.complete(a, { ...options, numReturnSequences: 2, seed: 2 ** 32 - 1 })
    t.same(last[1]?.ids, await collect(model, a, { ...options, seed: 0 }))
    t.equal((await model.complete(a, { ...options, numReturnSequences: 1 })).length, 1)
  }),
)

t.test("a completion says its text, why it ends, and what it took", (t) =>
  withModel(async (_, backend) => {
    const tokenizer = await loadTokenizer("byte")
    const bytes = { ...config, vocabSize: 300 }
    await using model = await OpenELM.random(bytes, { backend, tokenizer, seed: 2 })
    const options = { maxNewTokens: 20, temperature: 2, seed: 3, stop: [] as (number | string)[] }
    const whole = await model.complete("ab", options)
    t.equal(whole.finishReason, "length")
    const promptTokens = tokenizer.encode("ab", { bos: tokenizer.bosId >= 0 }).length
    t.same(whole.usage, { promptTokens, completionTokens: 20, totalTokens: promptTokens + 20 })
    t.equal(whole.ids.length, 20)
    const pieces = whole.ids.filter((id) => id < tokenizer.vocabSize)
    const prompt = tokenizer.encode("ab", { bos: tokenizer.bosId >= 0 })
    t.equal(`ab${whole.text}`, tokenizer.decode([...prompt, ...pieces]))
    const part = whole.text.slice(3, 5)
    const cut = await model.complete(["ab", "ab"], { ...options, stop: [part] })
    for (const { text, finishReason, ids, usage } of cut) {
      t.equal(text, whole.text.slice(0, whole.text.indexOf(part)))
      t.equal(finishReason, "stop")
      t.ok(ids.length < usage.completionTokens || ids.length < 20)
    }
    const end = whole.ids[4] as number
    const ended = await model.complete("ab", { ...options, stop: [end] })
    t.same(ended.ids, whole.ids.slice(0, whole.ids.indexOf(end) + 1))
    t.equal(ended.finishReason, "stop")
    const none = await model.complete(["ab", "b"], { ...options, maxNewTokens: 0 })
    t.same(
      none.map(({ text, finishReason }) => [text, finishReason]),
      [
        ["", "length"],
        ["", "length"],
      ],
    )
    const echoed = await model.complete("ab", { ...options, echo: true })
    t.equal(echoed.text, `ab${whole.text}`)
    t.same(echoed.ids, [...prompt, ...whole.ids])
    t.equal(echoed.logprobs, undefined)
  }),
)

t.test("an echo has the log p of the prompt, which are its scores", (t) =>
  withModel(async (model) => {
    const options = { maxNewTokens: 2, stop: [], echo: true, logprobs: 1 }
    for (const prompt of [[4], textOf(5, 3), textOf(300, 1)]) {
      const { ids, logprobs } = await model.complete(prompt, options)
      const { logProbabilities, likeliest } = await model.score(prompt)
      t.same(ids.slice(0, prompt.length), prompt)
      t.equal(logprobs?.length, prompt.length + 2)
      t.equal(logprobs?.[0], null)
      for (const i of logProbabilities.keys()) {
        const { logprob = 0, top = [] } = logprobs?.[i + 1] ?? {}
        t.ok(Math.abs(logprob - (logProbabilities[i] as number)) < 1e-4)
        t.equal(top[0]?.id, likeliest[i])
      }
    }
  }),
)

t.test("completions go on after weights have moved, and end with their model", async (t) => {
  await withModel(async (model) => {
    const options = { maxNewTokens: 30, temperature: 1, stop: [] }
    const want = await model.complete(prompts, options)
    let moves = 0
    const all = model.complete(prompts, {
      ...options,
      logitsProcessor() {
        if (moves++ % 40 === 10) void internals(model).training(async () => undefined)
      },
    })
    t.same(
      (await all).map(({ ids }) => ids),
      want.map(({ ids }) => ids),
    )
    t.ok(moves > 200)
  })
  await withModel(async (model) => {
    const running = model.complete(prompts, {
      maxNewTokens: 1000,
      stop: [],
      logitsProcessor: (_, { ids }) => void (ids.length > 50 && model.close()),
    })
    await t.rejects(running, /the model or its adapter was closed during this generation/)
    await t.rejects(model.complete([1]), /this model is closed/)
  })
})

t.test("what completions are asked for is checked", (t) =>
  withModel(async (model) => {
    const control = new AbortController()
    control.abort(new Error("enough"))
    const ids: Prompt[] = [[1], [2, 3]]
    const rows: readonly [Prompt | Prompt[], CompleteOptions, string, RegExp][] = [
      [ids, { seed: [1] }, "RangeError", /there are 1 seeds for 2 prompts/],
      [ids, { seed: [1, -1] }, "RangeError", /a seed must be a whole number from 0/],
      [ids, { numReturnSequences: 0 }, "RangeError", /numReturnSequences must be a whole number/],
      [ids, { batchSize: 0 }, "RangeError", /batchSize must be a whole number from 1/],
      [ids, { echo: 1 as never }, "TypeError", /echo is 1, expected true or false/],
      [[[1], [V]], {}, "RangeError", /token ids lie in 0 … 100, got 101 \(prompt 2 of 2\)/],
      [["a", [1]], {}, "TypeError", /no tokenizer for a text.*\(prompt 1 of 2\)/],
      [[], {}, "RangeError", /the prompt is empty/],
      [3 as never, {}, "TypeError", /the prompt must be a text or an array of token ids/],
      [ids, { signal: control.signal }, "Error", /enough/],
    ]
    for (const [prompt, options, name, message] of rows) {
      await t.rejects(model.complete(prompt as Prompt[], options), { name, message })
    }
  }),
)

t.test("texts are completed side by side as tiny.model has them", async (t) => {
  const tokenizer = await loadTokenizer(fixture("data/tiny.model"))
  await withModel(async (_, backend) => {
    const wide = { ...config, vocabSize: 420 }
    await using model = await OpenELM.random(wide, { backend, tokenizer, seed: 4 })
    const texts = ["The river", "a", "Once upon a time"]
    const options = { maxNewTokens: 10, temperature: 1.5, stop: [] }
    const all = await model.complete(texts, options)
    for (const [i, text] of texts.entries()) {
      t.same(all[i], await model.complete(text, options))
      t.equal(
        text + all[i]?.text,
        tokenizer.decode([...tokenizer.encode(text), ...(all[i]?.ids ?? [])]),
      )
    }
  })
})
