// What the tests run inside of a page, and inside of a worker of it: test/chromium.ts bundles and
// serves it, test/browser.test.ts asks. Nothing here may need Node.
import { choose } from "../backends/webgpu/choose.ts"
import type { Feature } from "../backends/webgpu/index.ts"
import { caseName, outlineCase, recordCase } from "../bench/measure/cases.ts"
import {
  allocate,
  type Backend,
  bufferOf,
  type Case,
  type Op,
  plan,
  readBound,
} from "../engine/index.ts"
import {
  type BackendName,
  createTrainStep,
  type FileSource,
  OpenELM,
  open,
  type WasmOptions,
} from "../index.ts"
import { nextTurn } from "../model/index.ts"
import { affine, allOps, exp } from "../ops/index.ts"
import { kernelError } from "./cases.ts"
import { collect, config, prompt } from "./small.ts"

/** What a backend calls itself, its threads, and what the small model does on it: tokens of two
 *  generations at once, and the losses of updates. */
export async function resultsOn(name: BackendName, options: WasmOptions = {}, updates = 3) {
  const backend = await open(name, options)
  const model = await OpenELM.random(config, { backend, seed: 1 })
  const generate = () => collect(model, prompt, { maxNewTokens: 5 })
  const tokens = await Promise.all([generate(), generate()])
  const losses = await lossesOf(model, updates)
  await model.close()
  const { build, threads } = backend as unknown as { build: string; threads?: number }
  backend.close()
  return { build, threads, tokens, losses }
}

async function lossesOf(model: OpenELM, updates: number): Promise<number[]> {
  const step = await createTrainStep(model, { clip: 1 })
  const losses: number[] = []
  for (let i = 0; i < updates; i++) {
    losses.push((await step([[1, 17, 33, 2, 9]], [[17, 33, 2, 9, 1]], { lr: 1e-2 })).loss)
  }
  await step.close()
  return losses
}

/** What a generation says when its backend is closed under it. */
export async function closedUnder(name: BackendName): Promise<string> {
  const backend = await open(name)
  const model = await OpenELM.random(config, { backend })
  const tokens = collect(model, prompt, {}).then(
    () => "it ended",
    (error: Error) => error.message,
  )
  await nextTurn()
  backend.close()
  return tokens
}

/** What runs under way give whose memory is freed meanwhile, where workers run them without the caller:
 *  logits of a model that is closed, a plan and its input, and what came to lie there. */
export async function freedUnder(name: BackendName, options: WasmOptions = {}) {
  const backend = await open(name, options)
  const ids = [Array.from({ length: 600 }, (_, i) => i % 101)]
  const model = await OpenELM.random(config, { backend, seed: 1 })
  const want = await model.logits(ids)
  const begun = model.logits(ids)
  const closing = model.close()
  const other = await OpenELM.random(config, { backend, seed: 2 })
  const its = await other.logits(ids)
  const logits = same(await begun, want)
  await closing
  const others = same(await other.logits(ids), its)
  const size = 1 << 20
  const [x, y] = [allocate(backend, [size]), allocate(backend, [size])]
  // Some milliseconds of work.
  let value = affine(x, 0, 3)
  for (let i = 0; i < 40; i++) value = affine(exp(affine(value, 0, 0)), 1, 2)
  const prepared = backend.prepare(plan([[y, value]], backend))
  const running = prepared.run()
  for (const each of [x, y]) bufferOf(each).free()
  prepared.close()
  const next = [allocate(backend, [size]), allocate(backend, [size])]
  for (const each of next) backend.write(bufferOf(each), new Float32Array(size).fill(7))
  await running
  const kept = await Promise.all(
    next.map(async (each) => (await readBound(each, backend))[size - 1]),
  )
  for (const each of next) bufferOf(each).free()
  await other.close()
  backend.close()
  return { logits, others, kept, waited: running !== undefined }
}

const same = (a: Float32Array, b: Float32Array): boolean => a.every((value, i) => value === b[i])

/** Loads a model: of a folder on a disk, say, that no page has. */
export const loadPath = async (source: FileSource): Promise<OpenELM> =>
  OpenELM.load(source, { backend: await open("js") })

/** What comes of loading a model: its tokenizer's file and its weights, or what it says. */
export async function loadedFrom(source: FileSource): Promise<string> {
  try {
    const model = await loadPath(source)
    return `${model.tokenizer?.file.name}, ${model.parameters} weights`
  } catch (error) {
    return (error as Error).message
  }
}

/** The same of a model whose files the page has itself: in a list, and in a folder that it keeps. */
export async function loadedHere(url: string, names: readonly string[]): Promise<string[]> {
  const files = await Promise.all(
    names.map(async (name) => new File([await (await fetch(`${url}/${name}`)).blob()], name)),
  )
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("model", {
    create: true,
  })
  for (const file of files) {
    const handle = await folder.getFileHandle(file.name, { create: true })
    const writable = await handle.createWritable()
    await writable.write(file)
    await writable.close()
  }
  return [await loadedFrom(files), await loadedFrom(folder), await loadedFrom(files.slice(1))]
}

/** The names of an op's cases, and what is wrong with each; "" for nothing. */
export type Walked = readonly (readonly [name: string, wrong: string])[]

let table: Backend | undefined

/** The ops that a backend has kernels of; it stays open for `walk`. */
export async function kernelsOf(name: BackendName, options: WasmOptions): Promise<string[]> {
  table?.close()
  const backend = await open(name, options)
  table = backend
  return allOps.filter((op) => !op.view && backend.has(op.name)).map((op) => op.name)
}

/** The shader that a case takes on a GPU with these features. */
function shaderOf(op: Op, test: Case, used: ReadonlySet<Feature>): string {
  if (op.gpu.length === 0) return ""
  const { code, entry } = choose({ op, call: outlineCase(op, test) }, used)
  return `${entry} ${code}`
}

/** A case of each shader of one op on the backend that is open, against its float64 meaning (Node has
 *  the others); all at once, since a software GPU takes a second to compile one. */
export async function walk(name: string): Promise<Walked> {
  const op = allOps.find((op) => op.name === name) as Op
  const backend = table as Backend & { features?: ReadonlySet<Feature> }
  const used = backend.features ?? new Set()
  const kinds = new Map([...op.cases].reverse().map((test) => [shaderOf(op, test, used), test]))
  return Promise.all(
    [...kinds.values()].map(async (test) => {
      const wrong = await kernelError(backend, recordCase(op, test)).catch(String)
      return [caseName(op, test), wrong] as const
    }),
  )
}

if ("WorkerGlobalScope" in globalThis) {
  addEventListener("message", async ({ data: [name, options, updates] }) => {
    postMessage(await resultsOn(name, options, updates).catch(String))
  })
}
