// Loading, generating, aborting, closing; and every wrong input with its one clear error.

import { openWasm } from "../backends/wasm/index.ts"
import { recorderWith } from "../bench/measure/norm_kinds.ts"
import { type Backend, plan, readBound } from "../engine/index.ts"
import { configOf, OpenELM, open, scaledConfig, type WeightDType } from "../index.ts"
import { hidden, logitsOf } from "../model/forward.ts"
import { allocateCaches, cacheUpdates } from "../model/generate/state.ts"
import { inference, internals } from "../model/index.ts"
import { Holder } from "../model/weights/holder.ts"
import { outlineWeights, randomWeights } from "../model/weights/weights.ts"
import { allOps } from "../ops/index.ts"
import { relativeError } from "./backends.ts"
import { collect, config, prompt, withModel } from "./small.ts"
import t from "./tap.ts"

t.test("a prompt and a seed give their tokens again, whatever runs beside them", async (t) => {
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
    const more = { maxNewTokens: 10, temperature: 1.5, seed: 3 }
    const resumed = await collect(model, [...prompt, ...sampled.slice(0, 7)], more)
    t.same(resumed, sampled.slice(7, 17), "a sampled generation can be taken up again")
    const typed = [Int32Array.of(1, 2, 3)] as never
    t.same(await model.logits(typed), await model.logits([[1, 2, 3]]), "typed arrays are rows too")
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

t.test("a signal ends a generation, and the model goes on", async (t) => {
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

t.test("what is closed refuses what comes after, and closes twice", async (t) => {
  const backend = await open("wasm", { threads: 2 })
  const model = await OpenELM.random(config, { backend })
  const stream = model.generate(prompt, { stop: [] })
  await stream.next()
  await model.close()
  await model.close()
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

t.test(
  "a thousand tokens are the same on one thread and on two, whatever the weights",
  async (t) => {
    for (const dtype of ["f32", "bf16", "f16", "q8", "q4"] as const) {
      const all: number[][] = []
      for (const threads of [1, 2]) {
        await using backend = await open("wasm", { threads })
        await using model = await OpenELM.random(config, { backend, seed: 9, dtype })
        all.push(await collect(model, prompt, { maxNewTokens: 1000, temperature: 1, seed: 2 }))
      }
      t.equal(all[0]?.length, 1000)
      t.same(all[1], all[0], dtype)
    }
  },
)

t.test("random weights are the same on every backend", async (t) => {
  const draw = async (backend: Backend, dtype: "f32" | "bf16") => {
    const { tensors, free } = await randomWeights(config, backend, dtype, 5)
    const names = ["token_embeddings", "layers.1.ffn.proj_1", "layers.1.attn.out_proj", "norm"]
    const parts = names.map((name) => tensors.get(`${name}.weight`))
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

t.test("narrower weights give the logits of f32 to their precision", async (t) => {
  await using backend = await open("wasm", { threads: 2 })
  const logits = async (dtype: WeightDType): Promise<Float32Array> => {
    await using model = await OpenELM.random(config, { backend, dtype, seed: 3 })
    return model.logits([[1, 5, 9, 2, 77]])
  }
  const exact = await logits("f32")
  const limits = { f16: 5e-3, bf16: 4e-2, q8: 0.08, q4: 0.8 } as const
  for (const [dtype, limit] of Object.entries(limits)) {
    const error = relativeError(await logits(dtype as WeightDType), exact)
    t.ok(error < limit, `${dtype} is off by ${error.toFixed(4)}`)
  }
})

t.test("quantized weights decode as they prefill, alike on any number of threads", async (t) => {
  for (const dtype of ["q8", "q4"] as const) {
    const all: number[][] = []
    for (const [threads, simd] of [
      [1, "relaxed"],
      [3, "relaxed"],
      [2, "simd"],
    ] as const) {
      await using backend = await open("wasm", { threads, simd })
      await using model = await OpenELM.random(config, { backend, dtype, seed: 3 })
      all.push(await collect(model, prompt, { maxNewTokens: 40, temperature: 1, seed: 5 }))
    }
    t.same(all[1], all[0], `${dtype} on three threads`)
    t.same(all[2], all[0], `${dtype} without relaxed SIMD`)
  }
})

t.test("ways to run the norms give one result, in fewer and fewer steps", async (t) => {
  await withModel(async (model) => {
    const want = await model.logits([[1, 2, 3, 4]])
    const steps: number[] = []
    for (const kind of ["naive", "fused", "added", "folded"] as const) {
      const variant = internals(model).variant(recorderWith(kind))
      const error = relativeError(await variant.logits([[1, 2, 3, 4]]), want)
      t.ok(error < 1e-5, `${kind} is off by ${error.toExponential(1)}`)
      steps.push(internals(variant).decodePlan.steps.length)
    }
    t.same(
      steps,
      [...steps].sort((a, b) => b - a),
      steps.join(),
    )
    t.equal(steps.at(-1), 6 * 3 + 4)
  })
})

t.test("a token of 270M takes at most eight steps a layer and four", (t) => {
  const free = () => undefined
  const alloc = (bytes: number, dtype = "f32") => ({ bytes, dtype, free })
  const kernels = new Set(allOps.filter((op) => op.gpu.length > 0).map((op) => op.name))
  const has = (kernel: string) => kernels.has(kernel)
  const paper = { name: "paper", has, alloc, write() {} } as unknown as Backend
  const config = configOf("270M")
  const { weights } = outlineWeights(config, paper, "f32")
  const held = new Holder(paper)
  const decoder = { config, weights, recorderOf: inference }
  const caches = allocateCaches(decoder, held, { batch: 1, capacity: 64, cache: "f32" })
  const [tokens, position] = [held.allocate([1], "i32"), held.allocate([1], "i32")]
  const { stream, recorder, caches: now } = hidden(decoder, { tokens, position, caches })
  const logits = held.allocate([1, config.vocabSize])
  const updates = [
    ...cacheUpdates(caches, now),
    [logits, logitsOf(decoder, recorder, stream)] as const,
  ]
  const { length } = plan(updates, paper).steps
  t.equal(length, 6 * 16 + 2, "and the choice of the token and the next place make four")
  t.ok(length + 2 <= 8 * 16 + 4)
  t.end()
})

t.test("a model spread over several memories gives the same to the bit", async (t) => {
  const run = async (instanceBytes?: number) => {
    await using backend = await openWasm({ threads: 2, ...(instanceBytes && { instanceBytes }) })
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
    const instances = backend.instanceCount
    await model.close()
    return { logits, tokens, instances }
  }
  const [one, several] = [await run(), await run(8 << 20)]
  t.equal(one.instances, 1)
  t.ok(several.instances > 2, `${several.instances} memories`)
  t.same(several.logits, one.logits)
  t.same(several.tokens, one.tokens)
})
