// Who may use a model's memory, and until when: what is under way at a close ends as it would have,
// saves and steps exclude each other, and sessions go when nobody needs them.
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { openWasm } from "../backends/wasm/index.ts"
import { recorderWith } from "../bench/measure/norm_kinds.ts"
import { createTrainStep, lossAndGradients, OpenELM, scaledConfig } from "../index.ts"
import { internals } from "../model/index.ts"
import { TrainStep } from "../train/step/step.ts"
import { allBackends } from "./backends.ts"
import { collect } from "./small.ts"
import t from "./tap.ts"

const config = scaledConfig({
  layers: 2,
  modelDim: 32,
  headDim: 16,
  vocabSize: 61,
  ffnDivisor: 16,
  maxContext: 64,
  queryHeadsPerKeyHead: 2,
})
const prompt = [1, 17, 33]
const inputs = [
  [1, 2, 3, 4],
  [5, 6, 7, 8],
]
const targets = [
  [2, 3, 4, 5],
  [6, 7, 8, 9],
]
const lr = 0.05
const naiveNorms = recorderWith("naive")
const accumulation = 2

const dir = mkdtempSync(join(tmpdir(), "openelm-lifetime-"))
t.teardown(() => rmSync(dir, { recursive: true }))

// Threads make no difference to who comes when, but whether there are any does.
const some = allBackends.filter(({ label }) => !/simd|wide/.test(label))

for (const { label, open } of some) {
  const at = (name: string): string => join(dir, `${label}, ${name}`.replaceAll(" ", "-"))
  const saved = (name: string): Buffer => readFileSync(join(at(name), "model.safetensors"))

  t.test(`a closed model is refused on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    const model = await OpenELM.random(config, { backend, seed: 1 })
    const step = await createTrainStep(model, { accumulation })
    await step(inputs, targets, { lr })
    const stream = model.generate(prompt, { stop: [] })
    await stream.next()
    await model.close()
    await model.close()
    // Lies where the closed one did, on a backend that gives memory again.
    const other = await OpenELM.random(config, { backend, seed: 2 })
    const before = await other.logits([prompt])
    const closed = { name: "Error", message: "this model is closed. Load it again" }
    await t.rejects(model.logits([prompt]), closed)
    await t.rejects(model.activations([prompt]), closed)
    await t.rejects(model.save(at("closed")), closed)
    await t.rejects(collect(model, prompt, {}), closed)
    await t.rejects(createTrainStep(model), closed)
    await t.rejects(lossAndGradients(model, inputs, targets), closed)
    await t.rejects(step(inputs, targets, { lr }), closed)
    await t.rejects(step.state.evaluate(inputs, targets), closed)
    t.throws(() => internals(model).variant(naiveNorms), closed)
    t.throws(() => internals(model).decodePlan, closed)
    await t.rejects(stream.next(), {
      message: "the model or its adapter was closed during this generation",
    })
    t.same(await other.logits([prompt]), before, "and another is as it was")
    await step.close()
    await other.close()
  })

  t.test(`what is under way when a model is closed ends, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    const opened = () => OpenELM.random(config, { backend, seed: 1 })
    const [first, spare] = [await opened(), await OpenELM.random(config, { backend, seed: 2 })]
    const expected = {
      logits: await first.logits([prompt]),
      naive: await internals(first).variant(naiveNorms).logits([prompt]),
      gradients: await lossAndGradients(first, inputs, targets),
      loss: (await (await createTrainStep(first, { accumulation }))(inputs, targets, { lr })).loss,
      spare: await spare.logits([prompt]),
    }
    await first.save(at("expected"))
    await first.close()

    const model = await opened()
    const variant = internals(model).variant(naiveNorms)
    const step = await createTrainStep(model, { accumulation })
    // In the order in which they come: numbers from before the step, a file from after it.
    const logits = model.logits([prompt])
    const naive = variant.logits([prompt])
    const gradients = lossAndGradients(model, inputs, targets)
    const stepped = step(inputs, targets, { lr })
    const kept = model.save(at("kept"))
    let closed = false
    const closing = model.close().then(() => {
      closed = true
    })
    // What would come to lie in memory that is freed too early.
    const other = await OpenELM.random(config, { backend, seed: 3 })
    const its = await other.logits([prompt])
    t.same(await logits, expected.logits)
    t.same(await naive, expected.naive)
    t.same(await gradients, expected.gradients)
    t.notOk(closed)
    t.equal((await stepped).loss, expected.loss)
    await kept
    t.ok(saved("kept").equals(saved("expected")))
    await closing
    t.same(await other.logits([prompt]), its)
    t.same(await spare.logits([prompt]), expected.spare)
    await step.close()
    await Promise.all([other.close(), spare.close()])
  })

  t.test(`a training step that is closed under way ends, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await OpenELM.random(config, { backend, seed: 1 })
    const step = await createTrainStep(model, { accumulation })
    const stepped = step(inputs, targets, { lr })
    const closing = step.close()
    const other = await createTrainStep(model, { accumulation })
    t.ok(Number.isFinite((await stepped).loss))
    await closing
    await t.rejects(step(inputs, targets, { lr }), { message: /step is closed. Create another/ })
    t.ok((await other(inputs, targets, { lr })).loss < (await stepped).loss, "they take turns")
    await other.close()
  })

  t.test(`saves and steps exclude each other on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await OpenELM.random(config, { backend, seed: 1 })
    await using same = await OpenELM.random(config, { backend, seed: 1 })
    const [step, alone] = [
      await createTrainStep(model, { accumulation }),
      await createTrainStep(same, { accumulation }),
    ]
    for (let n = 0; n < 4; n++) {
      await same.save(at(`alone ${n}`))
      await alone(inputs, targets, { lr })
    }
    const saves: Promise<void>[] = []
    for (let n = 0; n < 4; n++) {
      // Each second one asked for before the step, and the others during it.
      if (n % 2 === 0) saves.push(model.save(at(`beside ${n}`)))
      const stepped = step(inputs, targets, { lr })
      if (n % 2 === 0) saves.push(model.save(at(`beside ${n + 1}`)))
      await stepped
    }
    await Promise.all(saves)
    for (let n = 0; n < 4; n++) t.ok(saved(`beside ${n}`).equals(saved(`alone ${n}`)), `state ${n}`)
    await step.close()
    await alone.close()
  })

  t.test(`a token is of the weights that there are, on ${label}`, async (t) => {
    const backend = await open()
    t.teardown(() => backend.close())
    await using model = await OpenELM.random(config, { backend, seed: 1 })
    await using same = await OpenELM.random(config, { backend, seed: 1 })
    const [step, alone] = [await createTrainStep(model), await createTrainStep(same)]
    const options = { maxNewTokens: 12, temperature: 1, seed: 5, stop: [] }
    const ids: number[] = []
    const expected: number[] = []
    for await (const { id } of model.generate(prompt, options)) {
      ids.push(id)
      const one = { ...options, maxNewTokens: 1 }
      expected.push(...(await collect(same, [...prompt, ...expected], one)))
      if (ids.length % 4 !== 3) continue
      await step(inputs, targets, { lr })
      await alone(inputs, targets, { lr })
    }
    t.same(ids, expected)
    t.equal(ids.length, 12)
    let training = true
    const trained = (async () => {
      while (training) await step(inputs, targets, { lr: 1e-3 })
    })()
    t.equal((await collect(model, prompt, options)).length, 12, "it gets on beside a training")
    training = false
    await trained
    await step.close()
    await alone.close()
  })
}

t.test("a checkpoint is of one state while others train the model", async (t) => {
  await using backend = await openWasm({ threads: 1 })
  await using model = await OpenELM.random(config, { backend, seed: 1 })
  const [step, other] = [await TrainStep.create(model), await TrainStep.create(model)]
  const order: string[] = []
  const noted = <T>(name: string, work: Promise<T>) => work.then(() => order.push(name))
  await Promise.all([
    noted(
      "still",
      step.still(() => sleep(20)),
    ),
    noted("other", other.run(inputs, targets, { lr })),
    noted("logits", model.logits([prompt])),
  ])
  t.same(order, ["still", "other", "logits"])
  await step.close()
  await other.close()
})

t.test("an async dispose waits until everything is freed", async (t) => {
  await using backend = await openWasm({ threads: 2 })
  const empty = backend.usedBytes
  let logits: Promise<Float32Array> | undefined
  {
    await using model = await OpenELM.random(config, { backend })
    logits = model.logits([prompt])
  }
  t.equal(backend.usedBytes, empty)
  t.equal((await logits).length, 3 * 61)
})

t.test("64 generations at once leave what one leaves", async (t) => {
  await using backend = await openWasm({ threads: 1 })
  await using model = await OpenELM.random(config, { backend })
  const empty = backend.usedBytes
  const one = async (seed: number): Promise<string> =>
    (await collect(model, prompt, { maxNewTokens: 8, temperature: 1, seed })).join()
  const alone = await one(3)
  const used = backend.usedBytes
  t.ok(used > empty, "which is kept for the next one")
  const all = await Promise.all(Array.from({ length: 64 }, (_, seed) => one(seed)))
  t.equal(all[3], alone)
  t.equal(backend.usedBytes, used)
})

t.test("a generation that is forgotten gives its session back", async (t) => {
  setFlagsFromString("--expose-gc")
  const gc = runInNewContext("gc") as () => void
  await using backend = await openWasm({ threads: 1 })
  await using model = await OpenELM.random(config, { backend })
  await collect(model, prompt, { maxNewTokens: 2 })
  const used = backend.usedBytes
  const begin = async (): Promise<void> => {
    for (let i = 0; i < 8; i++) await model.generate(prompt, { stop: [] }).next()
  }
  await begin()
  t.ok(backend.usedBytes > used)
  for (let i = 0; i < 100 && backend.usedBytes > used; i++) {
    gc()
    await sleep(10)
  }
  t.equal(backend.usedBytes, used)
  const left = model.generate(prompt, { stop: [] })
  await left.next()
  await left.return()
  t.equal(backend.usedBytes, used, "and one that is left does at once")
})
