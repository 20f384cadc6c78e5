// What the tests run inside of a page, and inside of a worker of it: test/chromium.ts bundles and
// serves it, test/browser.test.ts asks. Nothing here may need Node.
import { caseName, recordCase } from "../bench/cases.ts"
import type { Backend } from "../engine/index.ts"
import { type BackendName, OpenELM, open, type WasmOptions } from "../index.ts"
import { allOps } from "../ops/index.ts"
import { kernelError } from "./cases.ts"
import { collect, config, prompt } from "./small.ts"

/** What a backend calls itself, its threads, and the tokens of the small model on it. */
export async function tokensOn(name: BackendName, options: WasmOptions) {
  const backend = await open(name, options)
  const model = await OpenELM.random(config, { backend, seed: 1 })
  const tokens = await collect(model, prompt, { maxNewTokens: 12 })
  const { build, threads } = backend as unknown as { build: string; threads?: number }
  model.close()
  backend.close()
  return { build, threads, tokens }
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

/** Every case of one op on the backend that is open, against its float64 meaning. */
export async function walk(name: string): Promise<Walked> {
  const found: (readonly [string, string])[] = []
  for (const op of allOps.filter((o) => o.name === name)) {
    for (const test of op.cases) {
      const wrong = await kernelError(table as Backend, recordCase(op, test)).catch(String)
      found.push([caseName(op, test), wrong])
    }
  }
  return found
}

if (typeof document === "undefined") {
  addEventListener("message", async ({ data: [name, options] }) => {
    postMessage(await tokensOn(name, options).catch(String))
  })
}
