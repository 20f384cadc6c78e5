// The backends that every suite runs on; the table of tolerances (tolerance.ts) comes with them.

import { availableParallelism } from "node:os"
import { JsBackend } from "../backends/js/index.ts"
import { openWasm, type WasmOptions } from "../backends/wasm/index.ts"
import { choose } from "../backends/webgpu/choose.ts"
import { type Feature, features, openWebgpu } from "../backends/webgpu/index.ts"
import type { Backend, Call } from "../engine/index.ts"
import { smallPart } from "./driver.ts"

export { limitOf, relativeError, tolerance } from "./tolerance.ts"

interface Opened {
  readonly label: string
  open(): Promise<Backend>
  /** Whether a call is worth a test here; absent: always. */
  takes?(call: Call): boolean
}

const wasm = (label: string, options: WasmOptions): Opened => ({
  label: `wasm ${label}`,
  open: () => openWasm(options),
})

const builds: readonly Opened[] = [
  wasm("relaxed, 1 thread", { simd: "relaxed", threads: 1 }),
  wasm("relaxed, 2 threads", { simd: "relaxed", threads: 2 }),
  wasm("relaxed, 2 threads, wide tiles", { simd: "relaxed", threads: 2, wide: true }),
  wasm("simd, 1 thread", { simd: "simd", threads: 1 }),
  wasm("simd, 3 threads", { simd: "simd", threads: 3 }),
]

/** The builds of wasm; in the small part each of them, and each number of threads, once. */
export const wasmBackends: readonly Opened[] =
  smallPart === undefined ? builds : builds.filter((_, i) => i % 2 === 0)

const { ELM_REQUIRE_WEBGPU: required, ELM_TEST_BACKENDS: named } = process.env

/** Why nothing is tested on a GPU here. With ELM_REQUIRE_WEBGPU=1 tests fail instead; 0 skips them. */
export const noWebgpu = await (async () => {
  if (required === "1") return undefined
  if (required === "0") return "ELM_REQUIRE_WEBGPU is 0"
  try {
    const backend = await openWebgpu()
    backend.close()
    return undefined
  } catch (error) {
    return (error as Error).message
  }
})()

/** Why the tests of webgpu that are not in the small part do not run here. */
export const noWholeWebgpu = noWebgpu ?? smallPart

const webgpu: Opened = { label: "webgpu", open: () => openWebgpu() }

export const webgpuBackends: readonly Opened[] = noWholeWebgpu === undefined ? [webgpu] : []

/** Optional features of the GPU here. */
const present: ReadonlySet<Feature> = await (async () => {
  if (noWholeWebgpu !== undefined) return new Set<Feature>()
  const backend = await openWebgpu()
  backend.close()
  return backend.features
})()

/** What runs a call where these features are used. */
function shaderOf(call: Call, used: ReadonlySet<Feature>): string {
  const { code, entry } = choose({ op: call.op, call }, used)
  return `${entry} ${code}`
}

/** Whether a call has a kernel of its own where features are left off: not that with all of them,
 *  nor, where one is left off, that without any. */
function isOwn(call: Call, left: readonly Feature[]): boolean {
  if (call.op.gpu.length === 0) return false
  const here = shaderOf(call, new Set([...present].filter((name) => !left.includes(name))))
  if (here === shaderOf(call, present)) return false
  return left.length > 1 || here !== shaderOf(call, new Set())
}

/** Optional features off: all of them, or one; where kernels differ. */
const without = (label: string, ...left: readonly Feature[]): Opened => ({
  label: `webgpu without ${label}`,
  open: () => openWebgpu({ without: left }),
  takes: (call) => isOwn(call, left),
})

/** The GPU with optional features left off that kernels have. */
export const webgpuVariants: readonly Opened[] =
  noWholeWebgpu === undefined
    ? [
        without("optional features", ...features),
        ...[...present].filter((f) => f !== "timestamp-query").map((name) => without(name, name)),
      ]
    : []

/** webgpu with one case of each family of kernels: each file of WGSL has one that is compiled. */
function ofEachFamily(): Opened {
  const seen = new Set<string>()
  const takes = (call: Call): boolean => {
    if (call.op.gpu.length === 0) return false
    const { code, entry } = choose({ op: call.op, call }, new Set())
    const before = code.slice(0, code.search(new RegExp(`\\bfn ${entry}\\(`)))
    const family = before.split("//# ").at(-1)?.split(":")[0] ?? ""
    return !seen.has(family) && seen.add(family) !== undefined
  }
  return { ...webgpu, label: "webgpu, one case of each family,", takes }
}

/** What the op table is walked on: of webgpu all cases, or the small part of them. */
export const tableBackends: readonly Opened[] = [
  ...wasmBackends,
  ...webgpuBackends,
  ...webgpuVariants,
  ...(noWebgpu === undefined && smallPart !== undefined ? [ofEachFamily()] : []),
]

const wanted = named?.split(",")
const isWanted = ({ label }: Opened): boolean => !wanted || wanted.includes(label)

export const allBackends: readonly Opened[] = [
  { label: "js", open: async () => new JsBackend() },
  ...wasmBackends,
  ...webgpuBackends,
].filter(isWanted)

/** The same with webgpu wherever there is a driver: for the golden model and its training. */
export const goldenBackends: readonly Opened[] =
  noWebgpu === undefined && smallPart !== undefined
    ? [...allBackends, ...[webgpu].filter(isWanted)]
    : allBackends

export const cores = availableParallelism()
