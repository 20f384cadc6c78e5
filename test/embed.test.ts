// Texts as vectors: what a text alone gives it gives among others, of any length and on every backend; and
// that is what its hidden states say.

import { LanguageModel, scaledConfig } from "../index.ts"
import { goldenBackends, relativeError } from "./backends.ts"
import { fixture } from "./fixtures.ts"
import t from "./tap.ts"

const sizes = { layers: 2, modelDim: 32, headDim: 16, vocabSize: 259, maxContext: 64 }

/** x/rms(x)·w, or (x − mean)/std where there is no w. */
function normalized(x: Float64Array, w: Float32Array | undefined, eps: number): Float64Array {
  const mean = w ? 0 : x.reduce((a, b) => a + b, 0) / x.length
  const square = x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length
  return x.map((v, i) => ((v - mean) / Math.sqrt(square + eps)) * (w?.[i] ?? 1))
}

/** The states of a text's tokens after the last norm, whose weight is w. */
async function statesOf(model: LanguageModel, ids: readonly number[], w?: Float32Array) {
  const D = model.config.modelDim
  const stream = (await model.activations([ids])).get("hidden") as Float32Array
  return ids.map((_, n) =>
    normalized(Float64Array.from(stream.slice(n * D, (n + 1) * D)), w, w ? 1e-6 : 1e-5),
  )
}

const mean = (rows: readonly Float64Array[]): number[] =>
  Array.from(
    rows[0] as Float64Array,
    (_, i) => rows.reduce((s, x) => s + (x[i] ?? 0), 0) / rows.length,
  )

const texts = [[1, 5, 7, 9, 40], [1], [1, 200, 3], Array.from({ length: 33 }, (_, i) => 1 + 7 * i)]

for (const { label, open } of goldenBackends) {
  t.test(`embeddings on ${label} are means of hidden states`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await LanguageModel.random(scaledConfig(sizes), {
      backend,
      tokenizer: "byte",
    })
    const ones = new Float32Array(sizes.modelDim).fill(1)
    const [all, last] = [await model.embed(texts), await model.embed(texts, { pooling: "last" })]
    for (const [i, ids] of texts.entries()) {
      const states = await statesOf(model, ids, ones)
      t.ok(relativeError(all[i] ?? [], mean(states)) < 1e-5, `text ${i}: the mean`)
      t.ok(relativeError(last[i] ?? [], states.at(-1) ?? []) < 1e-5, `text ${i}: the last`)
      t.ok(relativeError(await model.embed(ids), all[i] ?? []) < 1e-5, `text ${i} alone`)
    }
    const unit = await model.embed("some text", { normalize: true })
    t.ok(Math.abs(unit.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-5, "of length 1")
    const plain = await model.embed("some text")
    const length = Math.hypot(...plain)
    t.ok(
      relativeError(
        unit,
        plain.map((x) => x / length),
      ) < 1e-5,
      "in the same direction",
    )
  })
}

t.test("a family whose last norm has no weight has embeddings as well", async (t) => {
  const [{ open } = t.fail("no backend") as never] = goldenBackends
  const backend = await open()
  t.teardown(() => backend.close())
  await using model = await LanguageModel.load(fixture("models/olmo-hf"), { backend })
  const [vector] = await model.embed([texts[0] as number[]])
  t.ok(relativeError(vector ?? [], mean(await statesOf(model, texts[0] as number[]))) < 1e-4)
})

t.test("what has no vector is refused", async (t) => {
  const [{ open } = t.fail("no backend") as never] = goldenBackends
  const backend = await open()
  t.teardown(() => backend.close())
  await using model = await LanguageModel.random(scaledConfig(sizes), { backend })
  const refusals: [() => Promise<unknown>, RegExp][] = [
    [() => model.embed([[1], []]), /a text of no tokens/],
    [() => model.embed(new Array(65).fill(1)), /65 tokens exceeds the context of 64/],
    [() => model.embed([1, 259]), /embed: token ids lie in 0 … 258, got 259/],
    [() => model.embed([1], { pooling: "max" as "last" }), /expected "mean" or "last"/],
    [() => model.embed("text"), /embed: this model has no tokenizer/],
    [() => model.embed([1], { signal: AbortSignal.abort(new Error("enough")) }), /enough/],
  ]
  for (const [act, message] of refusals) await t.rejects(act(), { message })
})
