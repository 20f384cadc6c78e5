// The key-value cache in 8 bits: little more than a quarter of the memory, logits within a stated error,
// and everything that is done with caches.

import { openWasm } from "../backends/wasm/index.ts"
import { type CacheDType, LanguageModel, OpenELM, open } from "../index.ts"
import { shippedModel } from "../model/index.ts"
import { allBackends, relativeError } from "./backends.ts"
import { fixture, fixtureJson } from "./fixtures.ts"
import { collect, config, prompt } from "./small.ts"
import t from "./tap.ts"

/** Of random weights, whose logits are all alike; those of trained ones are below. */
const roughly = 0.05

for (const { label, open } of allBackends) {
  t.test(
    `tokens that are decoded over a q8 cache are those of its logits, on ${label}`,
    async (t) => {
      const backend = await open()
      t.teardown(() => backend.close())
      await using exact = await OpenELM.random(config, { backend, seed: 1 })
      await using model = await OpenELM.random(config, { backend, seed: 1, cache: "q8" })
      t.equal(model.cache, "q8")
      const ids = [
        [...prompt, 4, 5],
        [9, 8, 7, 6, 5],
      ]
      const error = relativeError(await model.logits(ids), await exact.logits(ids))
      t.ok(error > 0 && error < roughly, `logits are off by ${error.toExponential(1)}`)
      const tokens = await collect(model, prompt, { maxNewTokens: 40 })
      const rows = await model.logits([[...prompt, ...tokens]])
      const V = config.vocabSize
      for (const [i, token] of tokens.entries()) {
        const row = rows.subarray((prompt.length - 1 + i) * V, (prompt.length + i) * V)
        t.equal(row.indexOf(Math.max(...row)), token, `token ${i}`)
      }
      const keys = (await model.activations(ids)).get("blocks.1.keys") ?? []
      const kept = relativeError(keys, (await exact.activations(ids)).get("blocks.1.keys") ?? [])
      t.ok(kept > 0 && kept < 0.02, `keys are off by ${kept.toExponential(1)}`)
      const options = { maxNewTokens: 6, stop: [] }
      const several = await model.complete([prompt, [5, 6, 7, 8, 9, 10]], options)
      t.same(several[0]?.ids, tokens.slice(0, 6), "several prompts in one plan")
    },
  )
}

t.test(
  "a trained model's logits over a q8 cache are within the error that is stated",
  async (t) => {
    await using backend = await open("wasm", { threads: 2 })
    const folder = await shippedModel()
    await using exact = await LanguageModel.load(folder, { backend })
    await using model = await LanguageModel.load(folder, { backend, cache: "q8" })
    const ids = exact.tokenizer?.encode(
      "It is a truth universally acknowledged, that a single man in possession of a good fortune, must " +
        "be in want of a wife. However little known the feelings or views of such a man may be on his " +
        "first entering a neighbourhood,",
    ) as number[]
    const [want, got] = [await exact.logits([ids]), await model.logits([ids])]
    const off = got.map((x, i) => Math.abs(x - (want[i] as number)))
    const rms = Math.sqrt(off.reduce((sum, x) => sum + x * x, 0) / off.length)
    const most = off.reduce((a, b) => Math.max(a, b))
    t.ok(rms > 0 && rms < 0.01 && most < 0.1, `rms ${rms}, at most ${most}`)
  },
)

t.test("a q8 cache takes E + 4 bytes a row, and heads of a multiple of 4", async (t) => {
  const bytes = async (cache: CacheDType): Promise<number> => {
    await using backend = await openWasm({ threads: 1 })
    await using model = await OpenELM.random(config, { backend, cache })
    const before = backend.usedBytes
    await collect(model, prompt, { maxNewTokens: 1 })
    return backend.usedBytes - before
  }
  const { keyHeads, headDim: E, maxContext } = config
  const rows = 2 * keyHeads.reduce((a, b) => a + b, 0) * maxContext
  const [before, after] = [await bytes("f32"), await bytes("q8")]
  // Allocations are of multiples of 64 bytes.
  t.ok(Math.abs(before - after - rows * (4 * E - (E + 4))) < 64 * 2 * keyHeads.length)
  await using backend = await openWasm({ threads: 1 })
  const odd = { ...config, headDim: 10 }
  await t.rejects(OpenELM.random(odd, { backend, cache: "q8" }), {
    name: "RangeError",
    message: /q8 cache needs heads of a multiple of 4 numbers, small has 10: try f16/,
  })
})

t.test("threads do not change a bit with a q8 cache, prefill nor decode", async (t) => {
  const results: unknown[] = []
  for (const threads of [1, 3]) {
    await using backend = await open("wasm", { threads })
    await using model = await OpenELM.random(config, { backend, seed: 9, cache: "q8" })
    const tokens = await collect(model, prompt, { maxNewTokens: 60, temperature: 1, seed: 2 })
    results.push({ logits: await model.logits([[1, 2, 3, 4, 5, 6, 7]]), tokens })
  }
  t.same(results[1], results[0])
})

t.test("families with other heads, beams, guesses and slides take a q8 cache", async (t) => {
  await using backend = await open("wasm", { threads: 2 })
  // Rotated without norms, and without positions in keys.
  for (const name of ["olmo-hf", "opt-pre-norm"]) {
    const folder = fixture(`models/${name}`)
    const { input_ids: ids, prompt } = fixtureJson(`models/${name}/expected.json`)
    await using exact = await LanguageModel.load(folder, { backend })
    await using model = await LanguageModel.load(folder, { backend, cache: "q8" })
    const [want, got] = [await exact.logits(ids), await model.logits(ids)]
    const error = relativeError(got, want)
    t.ok(error > 0 && error < roughly, `${name} is off by ${error.toExponential(1)}`)
    const plain = await collect(model, prompt, { maxNewTokens: 12 })
    const guessed = { maxNewTokens: 12, promptLookupNumTokens: 4 }
    t.same(await collect(model, prompt, guessed), plain, "guesses are taken back")
  }
  await using model = await OpenELM.random(config, { backend, seed: 2, cache: "q8", capacity: 24 })
  await using js = await open("js")
  await using same = await OpenELM.random(config, {
    backend: js,
    seed: 2,
    cache: "q8",
    capacity: 24,
  })
  const beams = { maxNewTokens: 6, numBeams: 3, numReturnSequences: 2, stop: [] }
  const ids = async (model: OpenELM) => (await model.complete(prompt, beams)).map(({ ids }) => ids)
  t.same(await ids(model), await ids(same), "beams are copied")
  const slide = { overflow: "slide", maxNewTokens: 40 } as const
  t.same(await collect(model, prompt, slide), await collect(same, prompt, slide), "keys are turned")
})
