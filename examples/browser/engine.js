// The engine in a worker, so that the page stays free: opens backends, writes, trains, and stops
// between two tokens or two steps. What it says goes to page.js, with the number of the run.
import {
  addAdapter,
  createService,
  createTrainStep,
  learningRate,
  OpenELM,
  open,
  scaledConfig,
} from "openelm"

/** By backend: the package's model, loaded with the first text. */
const models = new Map()
const backends = new Map()
/** By backend: what was learnt beside that model last. */
const adapters = new Map()
/** By backend: the OpenAI protocol over that model. */
const services = new Map()
const jobs = { write, train, tune }
let running = new AbortController()

addEventListener("message", async ({ data: { run, job, request, ...options }, ports: [port] }) => {
  if (request) return answer(options.backend, request, port)
  // One run at a time: the one before ends here, and so does any that is only stopped.
  running.abort()
  if (!job) return
  running = new AbortController()
  const { signal } = running
  const say = (message) => postMessage({ run, ...message })
  try {
    await jobs[job](options, signal, say)
    say({ end: "done" })
  } catch (error) {
    // A value out of range is the caller's; after anything else the next run begins anew.
    if (!signal.aborted && !(error instanceof RangeError)) await forget(options.backend)
    say(signal.aborted ? { end: "stopped" } : { end: "failed", error: error.message })
  }
})

/** What `make` gives for a key, made once; a failure is forgotten, so that it can be tried again. */
function once(map, key, make) {
  if (!map.has(key)) {
    const made = make()
    map.set(key, made)
    made.catch(() => map.delete(key))
  }
  return map.get(key)
}

/** Closes a backend, and with it what lives on it. */
async function forget(name) {
  const service = await services.get(name)
  services.delete(name)
  await service?.close({ now: true })
  const backend = await backends.get(name)
  backend?.close()
  models.delete(name)
  adapters.delete(name)
  backends.delete(name)
}

async function backendOf(name, say) {
  const backend = await once(backends, name, () => open(name))
  const threads = backend.threads > 1 ? `, ${backend.threads} threads` : ""
  // Features of a GPU, behind the semicolon, would fill the line.
  say({ machine: `${name}: ${backend.build.split(";")[0]}${threads}` })
  return backend
}

/** The package's model. */
async function modelOn(name, say) {
  const backend = await backendOf(name, say)
  const onProgress = (done, total) => say({ loaded: done / total })
  const folder = new URL("models/small/", import.meta.url)
  return once(models, name, () => OpenELM.load(folder, { backend, onProgress }))
}

async function write({ backend: name, prompt, temperature, seed, isTuned }, signal, say) {
  const model = await modelOn(name, say)
  const adapter = isTuned ? (adapters.get(name) ?? null) : null
  let tokens = 0
  let first = 0
  for await (const { text } of model.generate(prompt, { temperature, seed, adapter, signal })) {
    // The first comes with the prompt; the others are what generation takes.
    first ||= performance.now()
    const tokensPerSecond = (1000 * tokens) / (performance.now() - first)
    say({ text, tokens: ++tokens, tokensPerSecond })
  }
}

// ---- Requests -----------------------------------------------------------------------------------

const serviceOf = (name) =>
  once(services, name, async () => createService(await modelOn(name, () => undefined)))

/** Answers a request of endpoint.js through its port. Any number of them are under way at a time. */
async function answer(name, { method, path, headers, body }, port) {
  const leaving = new AbortController()
  port.onmessage = () => leaving.abort()
  try {
    const service = await serviceOf(name)
    const { signal } = leaving
    const request = new Request(new URL(path, location.origin), { method, headers, body, signal })
    const { status, headers: own, body: stream } = await service.fetch(request)
    port.postMessage({ head: { status, headers: [...own] } })
    const reader = stream?.getReader()
    signal.addEventListener("abort", () => reader?.cancel())
    for (let next = await reader?.read(); next && !next.done; next = await reader.read()) {
      port.postMessage({ chunk: next.value })
    }
    port.postMessage({ end: true })
  } catch ({ message }) {
    port.postMessage({ head: { status: 500 }, error: message })
  }
}

// ---- Training -----------------------------------------------------------------------------------

const [B, T] = [8, 64]
const maxSteps = 600
const schedule = { maxLr: 5e-3, minLr: 3e-4, warmupInitLr: 1e-5, warmupSteps: 30, maxSteps }
/** A text is written after so many steps. */
const sampleEvery = 50

const config = scaledConfig({
  layers: 2,
  modelDim: 96,
  headDim: 24,
  vocabSize: 259,
  queryHeadsPerKeyHead: 2,
  ffnDivisor: 32,
  maxContext: 128,
})

async function train({ backend: name, seed }, signal, say) {
  const backend = await backendOf(name, say)
  const response = await fetch(new URL("text.txt", import.meta.url))
  if (!response.ok) throw new Error(`The text to learn from is missing (${response.status})`)
  const bytes = new Uint8Array(await response.arrayBuffer())
  const model = await OpenELM.random(config, { backend, seed, tokenizer: "byte", room: 3 })
  const step = await createTrainStep(model, { weightDecay: 0.1, clip: 1 })
  say({ maxSteps })
  try {
    const start = performance.now()
    for (let i = 0; i < maxSteps; i++) {
      const windows = Array.from({ length: B }, () => windowOf(bytes))
      const inputs = windows.map((row) => row.slice(0, -1))
      const targets = windows.map((row) => row.slice(1))
      const { loss } = await step(inputs, targets, { lr: learningRate(schedule, i) })
      const tokensPerSecond = (1000 * (i + 1) * B * T) / (performance.now() - start)
      say({ step: i + 1, loss, tokensPerSecond })
      if ((i + 1) % sampleEvery === 0) say({ sample: await sampleOf(model, seed + i, signal) })
      // Messages are read here, "stop" among them.
      await new Promise((resolve) => setTimeout(resolve))
      signal.throwIfAborted()
    }
  } finally {
    step.close()
    model.close()
  }
}

function windowOf(bytes) {
  const at = Math.floor(Math.random() * (bytes.length - T - 1))
  return [...bytes.subarray(at, at + T + 1)]
}

async function sampleOf(model, seed, signal) {
  let sample = "The "
  const options = { maxNewTokens: 100, temperature: 0.6, seed, signal }
  for await (const { text } of model.generate(sample, options)) sample += text
  return sample
}

// ---- Tuning -------------------------------------------------------------------------------------

const updates = 40
const targets = ["qkv_proj", "out_proj", "proj_1", "proj_2"]

/** Learns lines of text by an adapter beside the package's model, whose weights stay as they are. */
async function tune({ backend: name, lines, prompt, seed }, signal, say) {
  if (lines.length === 0) throw new RangeError("There is nothing to learn: write a line")
  const model = await modelOn(name, say)
  const options = { maxNewTokens: 40, temperature: 0.6, seed, signal }
  const written = async (adapter) => (await model.complete(prompt, { ...options, adapter })).text
  say({ before: await written(null) })
  const adapter = await addAdapter(model, { rank: 8, alpha: 16, targets, seed })
  try {
    await learn(model, adapter, lines, signal, say)
    say({ after: await written(adapter), files: await adapter.files() })
  } catch (error) {
    await adapter.close()
    throw error
  }
  await adapters.get(name)?.close()
  adapters.set(name, adapter)
}

async function learn(model, adapter, lines, signal, say) {
  const all = lines.map((line) => model.tokenizer.encode(line, { bos: true }).slice(0, T + 1))
  const length = Math.max(...all.map((row) => row.length)) - 1
  // Rows of one length: what is filled up does not count.
  const filled = (row, value) => [...row, ...Array(length - row.length).fill(value)]
  const step = await createTrainStep(model, { adapter, ignoreIndex: -1, weightDecay: 0 })
  try {
    for (let i = 0; i < updates; i++) {
      const rows = Array.from({ length: B }, (_, b) => all[(i * B + b) % all.length])
      const inputs = rows.map((row) => filled(row.slice(0, -1), 0))
      const expected = rows.map((row) => filled(row.slice(1), -1))
      const { loss } = await step(inputs, expected, {
        lr: 4e-3 * Math.min(1, 2 - (2 * i) / updates),
      })
      say({ update: i + 1, updates, loss })
      await new Promise((resolve) => setTimeout(resolve))
      signal.throwIfAborted()
    }
  } finally {
    await step.close()
  }
}
