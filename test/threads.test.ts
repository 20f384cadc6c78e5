// Worker threads that behave: they sleep when nothing runs, survive more threads than
// cores, and are missed when they die.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createRequire, syncBuiltinESMExports } from "node:module"
import { setTimeout as sleep } from "node:timers/promises"
import type { Worker } from "node:worker_threads"
import { openWasm, type WasmBackend } from "../backends/wasm/index.ts"
import { allocate, type Backend, plan } from "../engine/index.ts"
import { createTrainStep, lossAndGradients, OpenELM, open } from "../index.ts"
import { affine } from "../ops/index.ts"
import { cores } from "./backends.ts"
import { collect, config, prompt } from "./small.ts"
import t from "./tap.ts"

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

const tokensOn = async (backend: Backend): Promise<number[]> => {
  await using model = await OpenELM.random(config, { backend })
  return await collect(model, prompt, { maxNewTokens: 20, temperature: 1 })
}

t.test("more threads than cores start in turns and give the same", async (t) => {
  await using one = await open("wasm", { threads: 1 })
  const want = await tokensOn(one)
  for (const threads of [4 * cores, 64]) {
    let [starting, most] = [0, 0]
    const { backend, workers } = await openWithWorkers(threads, (worker) => {
      most = Math.max(most, ++starting)
      worker.once("message", () => starting--)
    })
    t.equal(workers.length, threads - 1)
    t.ok(most <= cores, `${most} started at a time`)
    t.same(await tokensOn(backend), want)
    backend.close()
  }
})

/** A backend of some threads, and its workers. */
async function openWithWorkers(
  count = 3,
  onStart?: (worker: Worker) => void,
): Promise<{ backend: WasmBackend; workers: Worker[] }> {
  const threads = createRequire(import.meta.url)("node:worker_threads")
  const original = threads.Worker
  const workers: Worker[] = []
  threads.Worker = class extends original {
    constructor(...args: unknown[]) {
      super(...args)
      workers.push(this as unknown as Worker)
      onStart?.(this as unknown as Worker)
    }
  }
  syncBuiltinESMExports()
  const backend = await openWasm({ threads: count })
  threads.Worker = original
  syncBuiltinESMExports()
  return { backend, workers }
}

t.test("timers are heard between runs, whatever is called in a loop", async (t) => {
  await using backend = await open("wasm", { threads: 2 })
  await using model = await OpenELM.random(config, { backend })
  const step = await createTrainStep(model)
  const batch = [[1, 2, 3]]
  const calls = {
    logits: () => model.logits(batch),
    activations: () => model.activations(batch),
    lossAndGradients: () => lossAndGradients(model, batch, batch),
    step: () => step(batch, batch, { lr: 0 }),
    evaluate: () => step.state.evaluate(batch, batch),
  }
  for (const [name, call] of Object.entries(calls)) {
    let heard = false
    setTimeout(() => {
      heard = true
    }, 1)
    // Far more of them than fit into the time of the timer.
    for (let n = 0; n < 3000 && !heard; n++) await call()
    t.ok(heard, name)
  }
  await step.close()
})

const index = `'${new URL("../index.js", import.meta.url).href}'`

/** What becomes of a process that runs a module. */
const runs = async (code: string) => {
  const args = ["--input-type=module", "-e", code]
  const child = spawn(process.execPath, args, { stdio: "inherit" })
  const timer = setTimeout(() => child.kill("SIGKILL"), 60_000)
  const [status, signal] = await once(child, "exit")
  clearTimeout(timer)
  return { status, signal }
}

/** Runs plans of some milliseconds on two threads for ever. */
const forever = `
  const { open, OpenELM, scaledConfig } = await import(${index})
  const sizes = { layers: 4, modelDim: 256, headDim: 64, vocabSize: 512, maxContext: 512 }
  const backend = await open("wasm", { threads: 2 })
  const model = await OpenELM.random(scaledConfig(sizes), { backend })
  const ids = [Array.from({ length: 500 }, (_, i) => i)]`

/** The same in a worker of the process. */
const inWorker = `
  const { Worker } = process.getBuiltinModule("node:worker_threads")
  const code = ${JSON.stringify(`(async () => {${forever}
    process.getBuiltinModule("node:worker_threads").parentPort.postMessage("begun")
    for (;;) await model.logits(ids)
  })()`)}
  const worker = new Worker(code, { eval: true })
  await new Promise((resolve) => worker.once("message", resolve))
  await new Promise((resolve) => setTimeout(resolve, 77))`

t.test("a process ends while a plan runs", async (t) => {
  const ended = { status: 7, signal: null }
  const exits = "setTimeout(() => process.exit(7), 50)"
  t.same(await runs(`${forever}\n${exits}\nfor (;;) await model.logits(ids)`), ended, "by a timer")
  t.same(await runs(`${inWorker}\nprocess.exit(7)`), ended, "beside a worker that runs plans")
  t.same(
    await runs(`${inWorker}\nprocess.exitCode = 7\nawait worker.terminate()`),
    ended,
    "which is ended itself",
  )
  const closes = "backend.close()\nawait running.catch(() => { process.exitCode = 7 })"
  t.same(await runs(`${forever}\nconst running = model.logits(ids)\n${closes}`), ended, "closed")
  t.same(await runs(`${forever}\nvoid model.logits(ids)\nprocess.exit(7)`), ended, "at once")
  const opening = `const { open } = await import(${index})\nvoid open("wasm", { threads: 8 })\n`
  t.same(await runs(`${opening}setTimeout(() => process.exit(7), 40)`), ended, "as threads start")
  t.same(await runs(`${opening}process.exitCode = 7`), ended, "of itself")
})

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
