// What a token costs the device, in dispatches, submits and readbacks; several tokens queued; the
// loss of a device; long use.

import { openWebgpu, type WebgpuBackend } from "../backends/webgpu/index.ts"
import { OpenELM, scaledConfig } from "../index.ts"
import { internals } from "../model/index.ts"
import { noWholeWebgpu } from "./backends.ts"
import { goldenFolder } from "./fixtures.ts"
import { collect, config, prompt } from "./small.ts"
import t, { type Test } from "./tap.ts"

const test = (name: string, body: (t: Test, backend: WebgpuBackend) => Promise<void>): void => {
  t.test(name, noWholeWebgpu ? { skip: noWholeWebgpu } : {}, async (t) => {
    const backend = await openWebgpu()
    await body(t, backend)
    t.equal(backend.liveCount, 0, "everything is freed")
    backend.close()
  })
}

const difference = <T extends object>(after: T, before: T): T =>
  Object.fromEntries(
    Object.entries(after).map(([name, n]) => [name, n - (before[name as keyof T] as number)]),
  ) as T

test("a token is six dispatches a layer and four, one submit, one readback", async (t, backend) => {
  const model = await OpenELM.random(config, { backend, capacity: 64 })
  await collect(model, prompt, { maxNewTokens: 3 })
  const at: (typeof backend.counts)[] = []
  for (const maxNewTokens of [10, 30]) {
    const before = { ...backend.counts }
    await collect(model, prompt, { maxNewTokens })
    at.push(difference({ ...backend.counts }, before))
  }
  const [few, many] = at as [typeof backend.counts, typeof backend.counts]
  const more = difference(many, few)
  const each = Object.fromEntries(Object.entries(more).map(([name, n]) => [name, n / 20]))
  const dispatches = 6 * config.layers + 4
  t.same(each, { runs: 1, dispatches, submits: 1, readbacks: 1, writes: 0, bindGroups: 0 })
  t.equal(
    internals(model).decodePlan.steps.length,
    dispatches,
    "no step takes more than one dispatch",
  )
  const norms = internals(model).decodePlan.steps.filter(({ op }) =>
    /^(add)?(rms|layer)Norm/i.test(op.name),
  )
  t.same(norms, [], "no step is a norm alone")
  await model.close()
})

test("tokens queued ahead are those taken one by one", async (t, backend) => {
  const model = await OpenELM.random(config, { backend, seed: 3 })
  const options = { maxNewTokens: 24, temperature: 0.9, topK: 30, topP: 0.95, seed: 5 }
  const all = await collect(model, prompt, options)
  Object.assign(backend, { ahead: 0 })
  t.same(await collect(model, prompt, options), all)
  Object.assign(backend, { ahead: 16 })
  t.same(await collect(model, prompt, options), all)
  const end = all[16] as number
  const short = await collect(model, prompt, { ...options, stop: [end] })
  t.same(short, all.slice(0, all.indexOf(end) + 1), "steps beyond the end are not yielded")
  t.same(await collect(model, prompt, options), all, "and leave nothing behind")
  const controller = new AbortController()
  const aborted = collectUntil(model, controller, 5)
  await t.rejects(aborted, { name: "AbortError" })
  t.same(await collect(model, prompt, options), all, "nor do those of an aborted one")
  await model.close()
})

async function collectUntil(model: OpenELM, controller: AbortController, count: number) {
  let seen = 0
  for await (const _ of model.generate(prompt, { signal: controller.signal, stop: [] })) {
    if (++seen === count) controller.abort()
  }
}

test("generations go on where the device was lost", async (t, backend) => {
  const folder = goldenFolder()
  t.teardown(() => folder.remove())
  const loaded = await OpenELM.load(folder.path, { backend })
  const drawn = await OpenELM.random(config, { backend, seed: 3, dtype: "bf16" })
  for (const [name, model] of Object.entries({ loaded, drawn })) {
    for (const temperature of [0, 0.8]) {
      const options = { maxNewTokens: 16, temperature, seed: 9, stop: [] }
      const whole = await collect(model, prompt, options)
      const ids: number[] = []
      for await (const { id } of model.generate(prompt, options)) {
        ids.push(id)
        if (ids.length === 5 || ids.length === 11) backend.device.destroy()
      }
      t.same(ids, whole, `${name} at temperature ${temperature}`)
    }
  }
  const before = await loaded.logits([prompt])
  backend.device.destroy()
  await backend.device.lost
  await t.rejects(async () => backend.write(backend.alloc(4), new Uint8Array(4)), {
    name: "DeviceLostError",
  })
  t.same(await loaded.logits([prompt]), before, "logits come from another device")
  t.same((await collect(drawn, prompt, { maxNewTokens: 4 })).length, 4)
  await loaded.close()
  await drawn.close()
})

t.test(
  "weights in windows give the same logits and tokens",
  noWholeWebgpu ? { skip: noWholeWebgpu } : {},
  async (t) => {
    const results = async (bindingBytes?: number) => {
      await using backend = await openWebgpu(bindingBytes ? { bindingBytes } : {})
      await using model = await OpenELM.random(config, { backend, seed: 2, capacity: 32 })
      const tokens = await collect(model, prompt, { maxNewTokens: 8 })
      return { tokens, logits: await model.logits([prompt]) }
    }
    // The embedding table has 28,672 bytes.
    t.same(await results(16384), await results())
  },
)

test("weights that were trained do not come back by themselves", async (t, backend) => {
  const model = await OpenELM.random(config, { backend })
  await internals(model).training(async () => undefined)
  backend.device.destroy()
  await backend.device.lost
  await t.rejects(model.logits([prompt]), { message: /trained.*last checkpoint/ })
  await model.close()
})

test("a loss with no device to follow is one error", async (t, backend) => {
  const model = await OpenELM.random(config, { backend })
  backend.reopen = () => Promise.reject(new Error("no adapter"))
  backend.device.destroy()
  await backend.device.lost
  await t.rejects(model.logits([prompt]), { message: /lost and no other came.*no adapter/ })
  await model.close()
})

const rss = (): number => process.memoryUsage.rss()
const slackBytes = 64 << 20

test("2,000 tokens leave memory where it was", async (t, backend) => {
  const small = scaledConfig({
    name: "soak",
    layers: 1,
    modelDim: 32,
    headDim: 16,
    vocabSize: 64,
    ffnDivisor: 32,
    maxContext: 2048,
    queryHeadsPerKeyHead: 2,
  })
  const model = await OpenELM.random(small, { backend })
  const options = { temperature: 1, topK: 50, topP: 0.9 }
  await collect(model, prompt, { ...options, maxNewTokens: 100 })
  const [used, before] = [backend.usedBytes, rss()]
  const ids = await collect(model, prompt, { ...options, maxNewTokens: 2000 })
  t.equal(ids.length, 2000)
  t.equal(backend.usedBytes, used, "bytes on the device")
  const grown = rss() - before
  t.ok(grown < slackBytes, `resident memory grew by ${(grown / 2 ** 20).toFixed(1)} MiB`)
  await model.close()
})

t.test(
  "40 devices opened and closed leave no memory",
  noWholeWebgpu ? { skip: noWholeWebgpu } : {},
  async (t) => {
    const cycle = async () => {
      const backend = await openWebgpu()
      const model = await OpenELM.random(config, { backend, capacity: 64 })
      await model.logits([prompt])
      await model.close()
      t.equal(backend.liveCount, 0)
      backend.close()
    }
    for (let i = 0; i < 10; i++) await cycle()
    const before = rss()
    for (let i = 0; i < 40; i++) await cycle()
    const grown = rss() - before
    t.ok(grown < 4 * slackBytes, `resident memory grew by ${(grown / 2 ** 20).toFixed(1)} MiB`)
  },
)
