// Opens a backend by name.
import type { Backend } from "../engine/index.ts"
import type { WasmOptions } from "./wasm/index.ts"
import type { WebgpuOptions } from "./webgpu/device.ts"

export type { WasmOptions } from "./wasm/index.ts"
export { type Feature, features, type WebgpuOptions } from "./webgpu/device.ts"

export const backendNames = ["wasm", "webgpu", "js"] as const
export type BackendName = (typeof backendNames)[number]

/** What `open` gives: a backend that `await using` closes. */
export type OpenBackend = Backend & AsyncDisposable

/**
 * Opens a backend: "wasm" (SIMD and threads), "webgpu" (a GPU) or "js" (float64, plain, slow).
 * Throws RangeError for an unknown name or a value out of range, Error with the next action where it cannot run.
 */
export async function open(
  name: BackendName,
  options: WasmOptions & WebgpuOptions = {},
): Promise<OpenBackend> {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`open: options must be an object, got ${String(options)}`)
  }
  if (name === "wasm") return (await import("./wasm/index.ts")).openWasm(options)
  if (name === "webgpu") return (await import("./webgpu/index.ts")).openWebgpu(options)
  if (name === "js") return new (await import("./js/index.ts")).JsBackend()
  throw new RangeError(
    `unknown backend ${JSON.stringify(name)}. There are: ${backendNames.join(", ")}`,
  )
}
