// Ceilings: what a token reads is counted from its plan, and nothing is faster than what it is held
// against.

import { workOf } from "../bench/measure/reads.ts"
import { benchThroughput } from "../bench/measure/throughput.ts"
import { LanguageModel, open, scaledConfig } from "../index.ts"
import { architectureOf } from "../model/index.ts"
import { fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"

/** Of whole panels, so that bytes are those of the numbers. */
const [D, F, V, layers] = [48, 96, 112, 2] as const
const sizes = { hidden_size: D, intermediate_size: F, vocab_size: V, num_hidden_layers: layers }

/** A fixture's config in other sizes. */
function configOf(name: string, more: object) {
  const fields = { ...fixtureJson(`models/${name}/config.json`), ...sizes, ...more }
  return architectureOf({ modelType: fields.model_type }).parse(fields, name)
}

const cases = {
  "an untied table of embeddings is read by rows": {
    config: configOf("pythia", {}),
    numbers: layers * (4 * D * D + 2 * D * F),
  },
  "a network that layers share is read by each": {
    config: configOf("mobillama", { num_key_value_heads: 6, shared_mlp: true }),
    numbers: layers * (4 * D * D + 3 * D * F),
  },
}

for (const [claim, { config, numbers }] of Object.entries(cases)) {
  t.test(claim, async (t) => {
    await using backend = await open("wasm", { threads: 1 })
    await using model = await LanguageModel.random(config, { backend, capacity: 16 })
    const work = workOf(model)
    t.equal(work.bytes, 4 * (numbers + V * D))
    t.equal(work.promptFlops(5), 2 * (5 * numbers + V * D), "the head sees one token")
    t.equal(work.factors, "floats")
  })
}

/** Of 16 million numbers: more than a core's own caches, and quick to make. */
const large = scaledConfig({
  name: "large",
  layers: 2,
  modelDim: 1024,
  headDim: 64,
  vocabSize: 8000,
  maxContext: 64,
})

t.test("no model reads or multiplies faster than its ceilings, in turns or not", async (t) => {
  await using backend = await open("wasm", { threads: 2, revectorize: true })
  const group = (["f32", "q8"] as const).map((dtype) => ({ model: large, dtype }))
  const options = { prompt: 24, generate: 16, repeat: 3, seed: 0 } as const
  const more = { weights: undefined, cache: "f32" } as const
  const { rows } = await benchThroughput(backend, [group], { ...options, ...more }, () => {})
  t.same(
    rows.map(({ dtype, repeats }) => [dtype, repeats.length]),
    group.map(({ dtype }) => [dtype, 3]),
  )
  for (const { dtype, bandwidthSpread, flopsSpread } of rows) {
    // Other work may slow the ceilings that stand beside one repeat, but not those of all.
    const [read, multiplied] = [bandwidthSpread.min, flopsSpread.min]
    t.ok(read > 0.05 && read <= 1, `${dtype}: ${read} of reading`)
    t.ok(multiplied > 0.02 && multiplied <= 1, `${dtype}: ${multiplied} of multiplying`)
  }
})
