// The loss of a device that someone else notices first, and memory that is freed while work with it
// is under way: neither gives wrong numbers, nor takes the backend from others.
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openWebgpu, type WebgpuBackend } from "../backends/webgpu/index.ts"
import { allocate, bufferOf, constant, plan } from "../engine/index.ts"
import { OpenELM } from "../index.ts"
import { internals } from "../model/index.ts"
import { add } from "../ops/index.ts"
import { noWholeWebgpu } from "./backends.ts"
import { collect, config, prompt } from "./small.ts"
import t, { type Test } from "./tap.ts"

const test = (name: string, body: (t: Test, backend: WebgpuBackend) => Promise<void>): void => {
  t.test(name, noWholeWebgpu ? { skip: noWholeWebgpu } : {}, async (t) => {
    await using backend = await openWebgpu()
    await body(t, backend)
    t.equal(backend.liveCount, 0, "everything is freed")
  })
}

test("a generation that waits while another gets a device", async (t, backend) => {
  const [model, other] = [
    await OpenELM.random(config, { backend, seed: 3 }),
    await OpenELM.random(config, { backend, seed: 4 }),
  ]
  const options = { maxNewTokens: 20, stop: [] }
  const whole = await collect(model, prompt, options)
  const before = await other.logits([prompt])
  const ids: number[] = []
  for await (const { id } of model.generate(prompt, options)) {
    ids.push(id)
    if (ids.length !== 6) continue
    // What is queued comes back, so that this one hears nothing of the loss.
    await other.logits([prompt])
    backend.device.destroy()
    await backend.device.lost
    t.same(await other.logits([prompt]), before, "the other goes on")
  }
  t.same(ids, whole, "and so does this one, with the same tokens")
  await model.close()
  await other.close()
})

test("completions side by side, of which a device is lost", async (t, backend) => {
  await using model = await OpenELM.random(config, { backend, seed: 3 })
  const prompts = [prompt, [5, 6], [7, 8, 9, 10]]
  const options = { maxNewTokens: 10, temperature: 1, stop: [], batchSize: 2 }
  const whole = await model.complete(prompts, options)
  let count = 0
  const logitsProcessor = (): void => {
    if (++count === 9) backend.device.destroy()
  }
  t.same(await model.complete(prompts, { ...options, logitsProcessor }), whole)
  t.equal(count, 30, "no token is chosen twice")
})

test("scores after a device was lost, with what had been read on it", async (t, backend) => {
  await using model = await OpenELM.random(config, { backend, seed: 3 })
  const requests = [5, 6].map((id) => ({ ids: [...prompt, 4, id], from: 4 }))
  const want = await model.score(prompt)
  const scored = await internals(model).score(requests)
  backend.device.destroy()
  await backend.device.lost
  t.same(await internals(model).score(requests), scored)
  t.same(await model.score(prompt), want)
})

test("a generation whose assistant is lost with it", async (t, backend) => {
  await using model = await OpenELM.random(config, { backend, seed: 3 })
  await using assistantModel = await OpenELM.random(config, { backend, seed: 4 })
  const options = { maxNewTokens: 12, stop: [] }
  const whole = await collect(model, prompt, options)
  let rounds = 0
  const onDraft = (): void => {
    if (++rounds === 3) backend.device.destroy()
  }
  t.same(await collect(model, prompt, { ...options, assistantModel, onDraft }), whole)
  t.ok(rounds > 3)
})

test("a model is saved as it was, not as memory that was lost", async (t, backend) => {
  const folder = mkdtempSync(join(tmpdir(), "openelm-lost-"))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const model = await OpenELM.random(config, { backend, seed: 3 })
  await model.save(join(folder, "before"))
  backend.device.destroy()
  await backend.device.lost
  await backend.recover()
  await model.save(join(folder, "after"))
  const [before, after] = ["before", "after"].map((name) =>
    readFileSync(join(folder, name, "model.safetensors")),
  )
  t.ok(before?.equals(after as Buffer))
  const read = backend.read.bind(backend)
  let left = 5
  backend.read = async (...from) => {
    const bytes = await read(...from)
    if (--left === 0) {
      backend.device.destroy()
      await backend.device.lost
      await backend.recover()
    }
    return bytes
  }
  await t.rejects(model.save(join(folder, "before")), { name: "DeviceLostError" })
  const still = readFileSync(join(folder, "before", "model.safetensors"))
  t.ok(still.equals(before as Buffer), "nor is the file replaced when that happens on the way")
  await model.close()
})

test("a model that was loaded reads its files once more", async (t, backend) => {
  const folder = mkdtempSync(join(tmpdir(), "openelm-reopened-"))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const made = await OpenELM.random(config, { backend, seed: 3 })
  await made.save(folder)
  await made.close()
  const model = await OpenELM.load(folder, { backend })
  const want = await model.logits([prompt])
  backend.device.destroy()
  await backend.device.lost
  t.same(await model.logits([prompt]), want)
  rmSync(folder, { recursive: true })
  backend.device.destroy()
  await backend.device.lost
  await t.rejects(model.logits([prompt]), { message: /Cannot open .*config\.json: no such file/ })
  await model.close()
})

test("a model closed while its first plan compiles leaves others alone", async (t, backend) => {
  const [model, other] = [
    await OpenELM.random(config, { backend, seed: 3 }),
    await OpenELM.random(config, { backend, seed: 4 }),
  ]
  const refused = t.rejects(collect(model, prompt, { maxNewTokens: 4 }), /closed/)
  const logits = model.logits([prompt])
  await new Promise((resolve) => setTimeout(resolve, 1))
  await model.close()
  await refused
  t.equal((await logits).length, prompt.length * config.vocabSize, "what is under way ends")
  t.equal((await collect(other, prompt, { maxNewTokens: 4 })).length, 4)
  await other.close()
})

test("memory freed right after a run, plans run when closed", async (t, backend) => {
  const [x, y] = [allocate(backend, [4]), allocate(backend, [4])]
  const prepared = backend.prepare(plan([[y, add(x, constant([1, 2, 3, 4], [4]))]], backend))
  await prepared.run()
  const buffer = bufferOf(x)
  void prepared.run()
  buffer.free()
  const read = await backend.read(bufferOf(y))
  t.same([...new Float32Array(read)], [1, 2, 3, 4], "the run was handed over before")
  await t.rejects(backend.read(buffer), { message: /freed/ })
  t.throws(() => backend.write(buffer, new Float32Array(4)), { message: /freed/ })
  prepared.close()
  t.throws(() => prepared.run(), { message: /closed/ })
  bufferOf(y).free()
})

t.test(
  "a backend closed while it gets a device gives that back",
  noWholeWebgpu ? { skip: noWholeWebgpu } : {},
  async (t) => {
    const backend = await openWebgpu()
    const reopen = backend.reopen
    let next: GPUDevice | undefined
    backend.reopen = async () => {
      const opened = await reopen()
      next = opened.device
      return opened
    }
    backend.device.destroy()
    await backend.device.lost
    const recovered = backend.recover()
    backend.close()
    await t.rejects(recovered, { message: /closed/ })
    t.equal((await next?.lost)?.reason, "destroyed", "the device that came is given back")
  },
)
