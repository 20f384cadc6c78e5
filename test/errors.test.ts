// Every wrong input has its one clear error, and nothing is lost by it.

import { type GenerateOptions, OpenELM, open } from "../index.ts"
import { collect, config, prompt, withModel } from "./small.ts"
import t from "./tap.ts"

t.test("wrong input has one clear error", async (t) => {
  await withModel(async (model, backend) => {
    const range = (message: RegExp) => ({ name: "RangeError", message })
    const generate = (ids: string | readonly number[], options: GenerateOptions = {}) =>
      collect(model, ids, options)
    await t.rejects(
      open("cuda" as never),
      range(/unknown backend "cuda"\. There are: wasm, webgpu, js/),
    )
    await t.rejects(
      open("wasm", { threads: 0 }),
      range(/threads must be a whole number from 1 to 256, got 0/),
    )
    await t.rejects(open("wasm", { simd: "avx" as never }), range(/"relaxed" or "simd", got "avx"/))
    await t.rejects(OpenELM.random("7B", { backend }), range(/7B/))
    await t.rejects(
      OpenELM.random(config, { backend, dtype: "f8" as never }),
      range(/one of f32, f16, bf16, q8, q4, got "f8"/),
    )
    await t.rejects(OpenELM.random(config, { backend, seed: -1 }), range(/seed/))
    await t.rejects(OpenELM.random(config, {} as never), {
      name: "TypeError",
      message: /needs a backend/,
    })
    await t.rejects(
      OpenELM.random(config, { backend, capacity: 1201 }),
      range(/capacity .* from 1 to .* 1200, got 1201/),
    )
    for (const id of [-1, 101, 1.5, Number.NaN]) {
      await t.rejects(generate([1, id]), range(/token ids lie in 0 … 100, got/))
      await t.rejects(model.logits([[1, id]]), range(/token ids lie in 0 … 100, got/))
    }
    await t.rejects(generate([]), range(/prompt is empty/))
    await t.rejects(generate(7 as never), {
      name: "TypeError",
      message: /a text or an array of token ids, got number/,
    })
    await t.rejects(generate("text"), { name: "TypeError", message: /has no tokenizer for a text/ })
    await t.rejects(generate(Array(1201).fill(1)), range(/1201 tokens exceeds the context of 1200/))
    await t.rejects(
      generate(prompt, { maxNewTokens: 1198 }),
      range(/exceed the cache of 1200\. Ask for at most 1197/),
    )
    await t.rejects(generate(prompt, { maxNewTokens: 1.5 }), range(/maxNewTokens/))
    await t.rejects(
      generate(prompt, { temperature: -1 }),
      range(/temperature must be 0 or more.*, got -1/),
    )
    await t.rejects(generate(prompt, { temperature: Number.NaN }), range(/temperature/))
    await t.rejects(generate(prompt, { topK: -1 }), range(/topK/))
    await t.rejects(
      generate(prompt, { topP: 0 }),
      range(/topP must be more than 0 and at most 1.*, got 0/),
    )
    await t.rejects(generate(prompt, { stop: [101] }), range(/token ids/))
    await t.rejects(model.logits([1, 2, 3] as never), {
      name: "TypeError",
      message: /rows of token ids/,
    })
    await t.rejects(model.logits(null as never), {
      name: "TypeError",
      message: /rows of token ids/,
    })
    await t.rejects(
      generate(prompt, { temperature: "0.5" as never }),
      range(/temperature .* got 0\.5/),
    )
    await t.rejects(generate(prompt, { stop: 5 as never }), { name: "TypeError", message: /stop/ })
    await t.rejects(generate(prompt, { signal: {} as never }), {
      name: "TypeError",
      message: /signal/,
    })
    await t.rejects(generate(prompt, { seed: 2 ** 32 }), range(/seed/))
    await t.rejects(generate(Array(1200).fill(1)), range(/leave no room in the cache of 1200/))
    await t.rejects(open("wasm", null as never), {
      name: "TypeError",
      message: /must be an object/,
    })
    await t.rejects(open("wasm", { memoryBytes: Number.NaN }), range(/memoryBytes/))
    await t.rejects(model.logits([]), range(/one or more rows/))
    await t.rejects(model.logits([[]]), range(/one or more rows/))
    await t.rejects(model.logits([[1, 2], [1]]), range(/one length, got 2 and 1/))
    await t.rejects(model.logits([Array(1201).fill(1)]), range(/exceed the context/))
    const other = await open("js")
    t.throws(() => other.write(backend.alloc(4), new Float32Array(1)), /another backend/)
    t.throws(
      () => backend.write(backend.alloc(4), new Float32Array(2)),
      range(/8 bytes at 0 do not fit 4/),
    )
    other.close()
  })
})

t.test("a model too large for the machine says which dtype fits", async (t) => {
  await using backend = await open("wasm", { threads: 1, memoryBytes: 3 * 2 ** 30 })
  await t.rejects(OpenELM.random("1.1B", { backend, dtype: "f32" }), {
    name: "RangeError",
    message:
      /OpenELM-1_1B in f32 takes 4\.02 GiB.*3\.00 GiB that.*Use dtype f16 or bf16 or q8 or q4/,
  })
  await t.rejects(OpenELM.random("3B", { backend, dtype: "bf16" }), {
    name: "RangeError",
    message: /OpenELM-3B in bf16 takes 5\.66 GiB.*Use dtype q4 /,
  })
})
