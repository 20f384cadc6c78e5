// Numbers as the sampling gets them, in f32: its controls at their ends, and logits that are none.

import { bufferOf, type Tensor } from "../engine/index.ts"
import { OpenELM } from "../model/index.ts"
import { allBackends, noWholeWebgpu } from "./backends.ts"
import { collect, config, prompt } from "./small.ts"
import t from "./tap.ts"

if (noWholeWebgpu) t.test("sampling on webgpu", { skip: noWholeWebgpu }, () => undefined)

const least = 2 ** -126
const few = { maxNewTokens: 4 }

for (const { label, open } of allBackends) {
  t.test(`controls of sampling on ${label} are what f32 holds`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    const model = await OpenELM.random(config, { backend, seed: 1, capacity: 16 })
    const greedy = await collect(model, prompt, few)
    for (const topP of [1e-46, 1e-39, 0, -0.5, 1.5, Number.NaN]) {
      await t.rejects(collect(model, prompt, { ...few, temperature: 1, topP }), {
        name: "RangeError",
        message: `generate: topP must be more than 0 and at most 1 (in f32: from 1.2e-38), got ${topP}`,
      })
    }
    for (const temperature of [1e-46, 1e-39, 1e39, -1, Number.POSITIVE_INFINITY]) {
      await t.rejects(collect(model, prompt, { ...few, temperature }), {
        name: "RangeError",
        message: /temperature must be 0 or more \(in f32: from 1\.2e-38 to 3\.4e38\), got /,
      })
    }
    const same = async (options: object, what: string) =>
      t.same(await collect(model, prompt, { ...few, ...options }), greedy, what)
    await same({ temperature: 1, topP: least }, "the smallest nucleus is the largest logit")
    await same({ temperature: least }, "the lowest temperature is greedy")
    await same({ temperature: least, topK: 5, topP: 0.5 }, "also with top-k and top-p")
    const hot = await collect(model, prompt, { ...few, temperature: 3.4e38, topP: 0.9 })
    t.ok(
      hot.every((id) => id >= 0 && id < config.vocabSize),
      `at the highest, ids ${hot}`,
    )
  })

  t.test(`logits on ${label} that are not finite are an error, never a token`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    const model = await OpenELM.random(config, { backend, seed: 1, capacity: 16 })
    const greedy = await collect(model, prompt, few)
    const norm = model.tensors.get("norm.weight") as Tensor
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const values = new Float32Array(norm.size).fill(1)
      backend.write(bufferOf(norm), values.with(5, bad))
      for (const options of [{}, { temperature: 1 }, { temperature: 1, topK: 3, topP: 0.5 }]) {
        await t.rejects(
          collect(model, prompt, { ...few, ...options }),
          /generate: the logits are not finite .* no token follows\. The weights are damaged/,
        )
      }
      backend.write(bufferOf(norm), values)
      t.same(await collect(model, prompt, few), greedy, "and the model goes on")
    }
  })
}
