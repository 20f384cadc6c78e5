// What the tests run inside of a page, and inside of a worker of it: test/chromium.ts bundles and
// serves it, test/browser.test.ts asks. Nothing here may need Node.
import { caseName, recordCase } from "../bench/cases.ts"
import type { Backend, Op } from "../engine/index.ts"
import { type BackendName, createTrainStep, OpenELM, open, type WasmOptions } from "../index.ts"
import { nextTurn } from "../model/index.ts"
import { allOps } from "../ops/index.ts"
import { kernelError } from "./cases.ts"
import { collect, config, prompt } from "./small.ts"

/** What a backend calls itself, its threads, and what the small model does on it: tokens of two
 *  generations at once, and the losses of three updates. */
export async function resultsOn(name: BackendName, options: WasmOptions = {}) {
  const backend = await open(name, options)
  const model = await OpenELM.random(config, { backend, seed: 1 })
  const generate = () => collect(model, prompt, { maxNewTokens: 5 })
  const tokens = await Promise.all([generate(), generate()])
  const step = await createTrainStep(model, { clip: 1 })
  const losses: number[] = []
  for (let i = 0; i < 3; i++) {
    losses.push((await step([[1, 17, 33, 2, 9]], [[17, 33, 2, 9, 1]], { lr: 1e-2 })).loss)
  }
  step.close()
  model.close()
  const { build, threads } = backend as unknown as { build: string; threads?: number }
  backend.close()
  return { build, threads, tokens, losses }
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

/** Loads a model of a folder on a disk that no page has. */
export const loadPath = async (path: string): Promise<OpenELM> =>
  OpenELM.load(path, { backend: await open("js") })

/** What comes of loading a model: its tokenizer's file and its weights, or what it says. */
export async function loadedFrom(url: string): Promise<string> {
  try {
    const model = await loadPath(url)
    return `${model.tokenizer?.file.name}, ${model.parameters} weights`
  } catch (error) {
    return (error as Error).message
  }
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

/** Every case of one op on the backend that is open, against its float64 meaning; all at once, since
 *  a software GPU takes a second to compile a kernel. */
export async function walk(name: string): Promise<Walked> {
  const op = allOps.find((op) => op.name === name) as Op
  return Promise.all(
    op.cases.map(async (test) => {
      const wrong = await kernelError(table as Backend, recordCase(op, test)).catch(String)
      return [caseName(op, test), wrong] as const
    }),
  )
}

if ("WorkerGlobalScope" in globalThis) {
  addEventListener("message", async ({ data: [name, options] }) => {
    postMessage(await resultsOn(name, options).catch(String))
  })
}
