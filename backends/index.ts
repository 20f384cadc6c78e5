// Opens a backend by name.
import { type Backend, checkObject } from "../engine/index.ts"
import type { WasmFeature, WasmOptions } from "./wasm/index.ts"
import type { Feature, WebgpuOptions } from "./webgpu/options.ts"

export type { WasmFeature, WasmOptions } from "./wasm/index.ts"
export { type Feature, features, type WebgpuOptions } from "./webgpu/options.ts"

/** All of them. */
export const backendNames = ["wasm", "webgpu", "js"] as const
/** Names that `open` takes. */
export type BackendName = (typeof backendNames)[number]

/** What every backend that is open has. `await using` closes it. */
export interface OpenBackend extends Backend, AsyncDisposable {
  /** What runs, in words. */
  readonly build: string
}

export interface OpenWasm extends OpenBackend {
  readonly name: "wasm"
  readonly threads: number
  /** What is used of the processor and the runtime. */
  readonly features: ReadonlySet<WasmFeature>
  /** Bytes given out and not yet freed. */
  readonly usedBytes: number
}

export interface OpenWebgpu extends OpenBackend {
  readonly name: "webgpu"
  /** The optional features of the GPU that are used. */
  readonly features: ReadonlySet<Feature>
  /** Bytes given out and not yet freed. */
  readonly usedBytes: number
}

/** What each name opens. */
export interface OpenBackends {
  readonly wasm: OpenWasm
  readonly webgpu: OpenWebgpu
  readonly js: OpenBackend
}

/** What each name takes. */
export interface BackendOptions {
  readonly wasm: WasmOptions
  readonly webgpu: WebgpuOptions
  readonly js: Readonly<Record<string, never>>
}

const openers: {
  readonly [Name in BackendName]: (options: BackendOptions[Name]) => Promise<OpenBackends[Name]>
} = {
  wasm: async (options) => (await import("./wasm/index.ts")).openWasm(options),
  webgpu: async (options) => (await import("./webgpu/index.ts")).openWebgpu(options),
  js: async () => new (await import("./js/index.ts")).JsBackend(),
}

/**
 * Opens a backend: "wasm" (SIMD and threads), "webgpu" (a GPU) or "js" (float64, plain, slow).
 * Throws RangeError for an unknown name or a value out of range, Error with the next action where it cannot run.
 */
export async function open<Name extends BackendName>(
  name: Name,
  options: BackendOptions[Name] = {},
): Promise<OpenBackends[Name]> {
  if (!backendNames.includes(name)) {
    throw new RangeError(
      `open: unknown backend ${JSON.stringify(name)}. There are: ${backendNames.join(", ")}`,
    )
  }
  checkObject("open: options", options)
  return openers[name](options)
}
