// Worker threads that behave: they sleep when nothing runs, survive more threads than
// cores, and are missed when they die.
import { createRequire, syncBuiltinESMExports } from "node:module"
import { setTimeout as sleep } from "node:timers/promises"
import type { Worker } from "node:worker_threads"
import t from "tap"
import { openWasm, type WasmBackend } from "../backends/wasm/index.ts"
import { allocate, plan } from "../engine/index.ts"
import { OpenELM, open } from "../index.ts"
import { affine } from "../ops/index.ts"
import { cores } from "./backends.ts"
import { collect, config, prompt } from "./small.ts"

t.test("threads sleep when nothing runs", async (t) => {
  await using backend = await open("wasm", { threads: 4 })
  await using model = await OpenELM.random(config, { backend })
  await collect(model, prompt, { maxNewTokens: 50 })
  await sleep(200)
  const [before, start] = [process.cpuUsage(), performance.now()]
  await sleep(1000)
  const { user, system } = process.cpuUsage(before)
  const share = (user + system) / 1000 / (performance.now() - start)
  t.ok(share < 0.1, `${(100 * share).toFixed(0)} % of a core while nothing runs`)
})

t.test("more threads than cores are slower, but not stuck", async (t) => {
  await using backend = await open("wasm", { threads: 4 * cores })
  await using model = await OpenELM.random(config, { backend })
  t.equal((await collect(model, prompt, { maxNewTokens: 20 })).length, 20)
})

/** A backend of three threads, and its workers. */
async function openWithWorkers(): Promise<{ backend: WasmBackend; workers: Worker[] }> {
  const threads = createRequire(import.meta.url)("node:worker_threads")
  const original = threads.Worker
  const workers: Worker[] = []
  threads.Worker = class extends original {
    constructor(...args: unknown[]) {
      super(...args)
      workers.push(this as unknown as Worker)
    }
  }
  syncBuiltinESMExports()
  const backend = await openWasm({ threads: 3 })
  threads.Worker = original
  syncBuiltinESMExports()
  return { backend, workers }
}

t.test("a worker that dies is reported", async (t) => {
  const { backend, workers } = await openWithWorkers()
  const model = await OpenELM.random(config, { backend })
  t.equal(workers.length, 2)
  await workers[1]?.terminate()
  await t.rejects(collect(model, prompt, {}), {
    message: /a thread has failed; close this backend and open another one/,
    cause: { message: /worker thread 2 ended with code 1/ },
  })
  backend.close()
})

t.test(
  "a worker that dies while a plan waits for it is missed soon",
  { skip: process.platform !== "linux" && "other systems do not say which threads exist" },
  async (t) => {
    const { backend, workers } = await openWithWorkers()
    const y = allocate(backend, [64])
    const prepared = backend.prepare(plan([[y, affine(y, 1, 1)]], backend))
    void workers[0]?.terminate()
    // Events wait as well: only whoever runs a plan can tell.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)
    // A thread that is only slow gets a minute, and then no number in the message.
    t.throws(() => prepared.run(), { message: "wasm: thread 1 failed while running a plan" })
    backend.close()
  },
)

t.test("where addresses are few, a memory is smaller", async (t) => {
  const { Memory } = WebAssembly
  const asked: number[] = []
  WebAssembly.Memory = class extends Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      asked.push(descriptor.maximum ?? 0)
      if ((descriptor.maximum ?? 0) > 20000) throw new RangeError("could not allocate memory")
      super(descriptor)
    }
  }
  t.teardown(() => {
    WebAssembly.Memory = Memory
  })
  await using backend = await open("wasm", { threads: 2 })
  t.same(asked, [65536, 32768, 16384])
  await using model = await OpenELM.random(config, { backend })
  t.equal((await collect(model, prompt, { maxNewTokens: 3 })).length, 3)
})

t.test("a plan closed while threads start does not run", async (t) => {
  await using backend = await openWasm({ threads: 2 })
  const [x, y] = [allocate(backend, [4]), allocate(backend, [4])]
  const prepared = backend.prepare(plan([[y, affine(x, 1, 1)]], backend))
  const running = prepared.run()
  prepared.close()
  await t.rejects(async () => running ?? prepared.run(), { message: /plan is closed/ })
})
