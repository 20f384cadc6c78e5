// Published models by their names, at their true sizes and without their memory: parameters, tensors, norms
// of a token and numbers in the cache, as those who published them give them.

import { webgpuKernels } from "../backends/webgpu/index.ts"
import { outlineSession, PaperBackend } from "../bench/measure/outline.ts"
import {
  configJson,
  type DecoderConfig,
  parameterCount,
  parseConfig,
  publishedConfig,
  publishedNames,
  specsOf,
} from "../model/index.ts"
import { publishedRows } from "../model/weights/unpacking.ts"
import { fixtureJson } from "./fixtures.ts"
import t from "./tap.ts"

interface Published {
  readonly model: string
  readonly parameters: number
  readonly tensors: number
  readonly norms_per_token: number
  readonly kv_cache_elements_per_token: number
  readonly shapes: Readonly<Record<string, readonly number[]>>
}

const all: readonly Published[] = fixtureJson("published_dims.json").models
const names: Readonly<Record<string, string>> = {
  "OLMo-1B (1.18B)": "OLMo-1.18B",
  "MobiLlama-1B (1.26B)": "MobiLlama-1.26B",
}
const others: Readonly<Record<string, number>> = {
  "Pythia-410M": 405_334_016,
  "Pythia-1.0B": 1_011_781_632,
  "OPT-1.3B": 1_315_758_080,
  "TinyLlama-1.1B": 1_100_048_384,
}

/** Shapes of the tensors of a published file. */
const shapesOf = (config: DecoderConfig): Map<string, readonly number[]> =>
  new Map(
    specsOf(config).flatMap((spec) =>
      [...publishedRows(spec)].map(([name, ranges]): [string, readonly number[]] => {
        const rows = ranges.reduce((sum, { count }) => sum + count, 0)
        return [name, [rows, ...spec.shape.slice(1)]]
      }),
    ),
  )

for (const { model, ...published } of all) {
  t.test(`${model} has its published sizes`, (t) => {
    const config = publishedConfig(names[model] ?? model)
    const { layers, headDim, keyHeads } = config
    t.equal(parameterCount(config), published.parameters)
    t.equal(2 * headDim * keyHeads.reduce((a, b) => a + b), published.kv_cache_elements_per_token)
    const shapes = shapesOf(config)
    t.equal(shapes.size, published.tensors)
    for (const [name, shape] of Object.entries(published.shapes)) {
      t.same(shapes.get(name), shape, name)
    }
    const backend = new PaperBackend("webgpu", webgpuKernels)
    const outline = { dtype: "bf16", cache: "f32", capacity: 64 } as const
    const { session, close } = outlineSession(config, backend, outline)
    const norms = session.decodePlan.steps.reduce((sum, { op }) => sum + op.norms, 0)
    t.equal(norms, published.norms_per_token, `${layers} layers`)
    close()
    t.end()
  })
}

t.test("all published models have names, in any case, and configs that are read back", (t) => {
  for (const name of publishedNames) {
    const config = publishedConfig(name.toLowerCase())
    t.same(parseConfig(configJson(config), "config.json"), config, name)
    const parameters = others[name]
    if (parameters !== undefined) t.equal(parameterCount(config), parameters, name)
  }
  t.equal(publishedNames.length, 4 + all.length + Object.keys(others).length)
  t.throws(() => publishedConfig("pythia-7b"), {
    name: "RangeError",
    message: /^No model "pythia-7b"\. Known models: 270M, .*Pythia-1\.4B/,
  })
  t.end()
})
