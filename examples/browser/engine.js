// The engine in a worker, so that the page stays free: opens backends, writes, trains, and stops
// between two tokens or two steps. What it says goes to page.js, with the number of the run.
import { createTrainStep, learningRate, OpenELM, open, scaledConfig } from "openelm"

/** By backend: the package's model, loaded with the first text. */
const models = new Map()
const backends = new Map()
let running = new AbortController()

addEventListener("message", async ({ data: { run, job, ...options } }) => {
  // One run at a time: the one before ends here, and so does any that is only stopped.
  running.abort()
  if (!job) return
  running = new AbortController()
  const { signal } = running
  const say = (message) => postMessage({ run, ...message })
  try {
    await (job === "train" ? train : write)(options, signal, say)
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
  const backend = await backends.get(name)
  backend?.close()
  models.delete(name)
  backends.delete(name)
}

async function backendOf(name, say) {
  const backend = await once(backends, name, () => open(name))
  const threads = backend.threads > 1 ? `, ${backend.threads} threads` : ""
  // Features of a GPU, behind the semicolon, would fill the line.
  say({ machine: `${name}: ${backend.build.split(";")[0]}${threads}` })
  return backend
}

async function write({ backend: name, prompt, temperature, seed }, signal, say) {
  const backend = await backendOf(name, say)
  const onProgress = (done, total) => say({ loaded: done / total })
  const folder = new URL("models/small/", import.meta.url)
  const model = await once(models, name, () => OpenELM.load(folder, { backend, onProgress }))
  let tokens = 0
  let first = 0
  for await (const { text } of model.generate(prompt, { temperature, seed, signal })) {
    // The first comes with the prompt; the others are what generation takes.
    first ||= performance.now()
    const tokensPerSecond = (1000 * tokens) / (performance.now() - first)
    say({ text, tokens: ++tokens, tokensPerSecond })
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
