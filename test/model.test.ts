// Loading, generating, aborting, closing; and every wrong input with its one clear error.
import t from "tap"
import { openWasm } from "../backends/wasm/index.ts"
import { type Backend, readBound } from "../engine/index.ts"
import { type GenerateOptions, type OpenBackend, OpenELM, open, scaledConfig } from "../index.ts"
import { randomWeights } from "../model/weights.ts"
import { relativeError } from "./backends.ts"

const config = scaledConfig({
  name: "small",
  layers: 3,
  modelDim: 64,
  headDim: 16,
  vocabSize: 101,
  ffnDivisor: 24,
  maxContext: 1200,
  queryHeadsPerKeyHead: 2,
})
const prompt = [1, 17, 33]

async function collect(
  model: OpenELM,
  ids: readonly number[],
  options: GenerateOptions,
): Promise<number[]> {
  const tokens: number[] = []
  for await (const { id } of model.generate(ids, { stop: [], ...options })) tokens.push(id)
  return tokens
}

const withModel = async (
  run: (model: OpenELM, backend: OpenBackend) => Promise<void>,
  capacity = 1200,
) => {
  await using backend = await open("wasm", { threads: 2 })
  await using model = await OpenELM.random(config, { backend, seed: 1, capacity })
  await run(model, backend)
}

t.test("generation", async (t) => {
  await withModel(async (model) => {
    const greedy = await collect(model, prompt, { maxNewTokens: 20 })
    t.equal(greedy.length, 20)
    t.same(await collect(model, prompt, { maxNewTokens: 20 }), greedy, "the same again")
    const hot = { maxNewTokens: 20, temperature: 1.5 }
    const sampled = await collect(model, prompt, { ...hot, seed: 3 })
    t.same(await collect(model, prompt, { ...hot, seed: 3 }), sampled, "a seed repeats")
    t.not(
      (await collect(model, prompt, { ...hot, seed: 4 })).join(),
      sampled.join(),
      "another differs",
    )
    t.same(await collect(model, prompt, { ...hot, topK: 1 }), greedy, "top-k of one is greedy")
    t.same(await collect(model, prompt, { ...hot, topP: 1e-9 }), greedy, "a tiny nucleus is greedy")
    const stopAt = greedy[4] as number
    const first = greedy.indexOf(stopAt)
    t.same(await collect(model, prompt, { stop: [stopAt] }), greedy.slice(0, first + 1), "stops")
    t.same(await collect(model, prompt, { maxNewTokens: 0 }), [])
    const both = await Promise.all([
      collect(model, prompt, { maxNewTokens: 20 }),
      collect(model, [5, 6], { maxNewTokens: 20, temperature: 1 }),
      collect(model, prompt, { maxNewTokens: 20 }),
    ])
    t.same([both[0], both[2]], [greedy, greedy], "generations at the same time do not mix")
  })
})

t.test("a long prompt is read in chunks, with the logits of one pass", async (t) => {
  await withModel(async (model) => {
    const long = Array.from({ length: 1100 }, (_, i) => (i * 37) % 101)
    const logits = (await model.logits([long])).slice(-101)
    const [next] = await collect(model, long, { maxNewTokens: 1 })
    t.equal(next, logits.indexOf(Math.max(...logits)))
    t.equal((await collect(model, long, {})).length, 100, "up to the last place of the cache")
  })
})

t.test("aborting", async (t) => {
  await withModel(async (model) => {
    const control = new AbortController()
    const seen: number[] = []
    const running = async () => {
      for await (const { id } of model.generate(prompt, { signal: control.signal, stop: [] })) {
        seen.push(id)
        if (seen.length === 5) control.abort()
      }
    }
    await t.rejects(running(), { name: "AbortError" })
    t.equal(seen.length, 5)
    const timer = AbortSignal.timeout(30)
    await t.rejects(
      collect(model, prompt, { signal: timer }),
      { name: "TimeoutError" },
      "timers run meanwhile",
    )
    await t.rejects(collect(model, prompt, { signal: AbortSignal.abort() }), { name: "AbortError" })
    for await (const _ of model.generate(prompt, { stop: [] })) break
    t.equal(
      (await collect(model, prompt, { maxNewTokens: 3 })).length,
      3,
      "and it goes on after that",
    )
  })
})

t.test("closing", async (t) => {
  const backend = await open("wasm", { threads: 2 })
  const model = await OpenELM.random(config, { backend })
  const stream = model.generate(prompt, { stop: [] })
  await stream.next()
  model.close()
  model.close()
  await t.rejects(stream.next(), /closed during this generation/)
  await t.rejects(collect(model, prompt, {}), /this model is closed/)
  await t.rejects(model.logits([[1]]), /this model is closed/)
  backend.close()
  backend.close()
  await t.rejects(OpenELM.random(config, { backend }), /the backend is closed/)
})

t.test("threads and builds do not change a bit", async (t) => {
  const results: { logits: Float32Array; tokens: number[] }[] = []
  for (const threads of [1, 2, 3, 5]) {
    await using backend = await open("wasm", { threads })
    await using model = await OpenELM.random(config, { backend, seed: 9 })
    const tokens = await collect(model, prompt, { maxNewTokens: 40, temperature: 1, seed: 2 })
    results.push({ logits: await model.logits([[1, 2, 3, 4, 5, 6, 7]]), tokens })
  }
  for (const { logits, tokens } of results.slice(1)) {
    t.same(logits, results[0]?.logits)
    t.same(tokens, results[0]?.tokens)
  }
})

t.test("random weights are the same on every backend", async (t) => {
  const draw = async (backend: Backend, dtype: "f32" | "bf16") => {
    const { weights, free } = await randomWeights(config, backend, dtype, 5)
    const layer = weights.layers[1]
    const parts = [weights.embedding, layer?.proj1, layer?.out, weights.norm]
    const values = await Promise.all(parts.map((x) => readBound(x as never, backend)))
    free()
    return values
  }
  await using js = await open("js")
  await using wasm = await open("wasm", { threads: 3 })
  const [want, got] = [await draw(js, "f32"), await draw(wasm, "f32")]
  want.forEach((values, i) => {
    const error = relativeError(got[i] ?? [], values)
    t.ok(error < 1e-6, `off by ${error.toExponential(1)}`)
  })
})

t.test("f16 and bf16 weights give the logits of f32 to their precision", async (t) => {
  await using backend = await open("wasm", { threads: 2 })
  const ids = [[1, 5, 9, 2, 77]]
  const logits = async (dtype: "f32" | "f16" | "bf16"): Promise<Float32Array> => {
    await using model = await OpenELM.random(config, { backend, dtype, seed: 3 })
    return model.logits(ids)
  }
  const exact = await logits("f32")
  t.ok(relativeError(await logits("f16"), exact) < 5e-3)
  t.ok(relativeError(await logits("bf16"), exact) < 4e-2)
})

t.test("wrong input has one clear error", async (t) => {
  await withModel(async (model, backend) => {
    const range = (message: RegExp) => ({ name: "RangeError", message })
    const generate = (ids: readonly number[], options: GenerateOptions = {}) =>
      collect(model, ids, options)
    await t.rejects(open("cuda" as never), range(/unknown backend "cuda"\. There are: wasm, js/))
    await t.rejects(
      open("wasm", { threads: 0 }),
      range(/threads must be a whole number from 1 to 256, got 0/),
    )
    await t.rejects(open("wasm", { simd: "avx" as never }), range(/"relaxed" or "simd", got "avx"/))
    await t.rejects(OpenELM.random("7B", { backend }), range(/7B/))
    await t.rejects(
      OpenELM.random(config, { backend, dtype: "f8" as never }),
      range(/one of f32, f16, bf16, got "f8"/),
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
    await t.rejects(generate("text" as never), {
      name: "TypeError",
      message: /array of token ids, got string/,
    })
    await t.rejects(generate(Array(1201).fill(1)), range(/1201 tokens exceeds the context of 1200/))
    await t.rejects(
      generate(prompt, { maxNewTokens: 1198 }),
      range(/exceed the cache of 1200\. Ask for at most 1197/),
    )
    await t.rejects(generate(prompt, { maxNewTokens: 1.5 }), range(/maxNewTokens/))
    await t.rejects(
      generate(prompt, { temperature: -1 }),
      range(/temperature must be 0 or more, got -1/),
    )
    await t.rejects(generate(prompt, { temperature: Number.NaN }), range(/temperature/))
    await t.rejects(generate(prompt, { topK: -1 }), range(/topK/))
    await t.rejects(generate(prompt, { topP: 0 }), range(/topP must lie in \(0, 1\], got 0/))
    await t.rejects(generate(prompt, { stop: [101] }), range(/token ids/))
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
    message: /OpenELM-1_1B in f32 takes 4\.02 GiB.*3\.00 GiB that.*Use dtype f16 or bf16/,
  })
  await t.rejects(OpenELM.random("3B", { backend, dtype: "bf16" }), {
    name: "RangeError",
    message: /OpenELM-3B in bf16 takes 5\.66 GiB.*No dtype fits/,
  })
})

t.test("a model spread over several memories gives the same to the bit", async (t) => {
  const run = async (bankBytes?: number) => {
    await using backend = await openWasm({ threads: 2, ...(bankBytes && { bankBytes }) })
    const wide = scaledConfig({
      ...config,
      modelDim: 256,
      vocabSize: 2000,
      layers: 6,
      maxContext: 512,
    })
    const model = await OpenELM.random(wide, { backend, seed: 4 })
    const logits = await model.logits([[1, 2, 3, 4, 5]])
    const tokens = await collect(model, prompt, { maxNewTokens: 30, temperature: 1 })
    const banks = backend.bankCount
    model.close()
    return { logits, tokens, banks }
  }
  const [one, several] = [await run(), await run(8 << 20)]
  t.equal(one.banks, 1)
  t.ok(several.banks > 2, `${several.banks} memories`)
  t.same(several.logits, one.logits)
  t.same(several.tokens, one.tokens)
})
