// Chooses the build of the kernels that this runtime can run, and compiles it.
import { relaxedSimd, threads as sharedMemory, simd } from "wasm-feature-detect"
import { fromNode } from "../../engine/node.ts"

export interface Build {
  readonly simd: "relaxed" | "simd"
  readonly shared: boolean
}

interface Embedded {
  readonly kernels: readonly string[]
  readonly base64: string
}

/** The best build, or the one asked for. Throws Error naming what the runtime lacks. */
export async function chooseBuild(
  wanted: Build["simd"] | undefined,
  threads: number,
): Promise<Build> {
  if (wanted !== undefined && wanted !== "relaxed" && wanted !== "simd") {
    throw new RangeError(`wasm: simd must be "relaxed" or "simd", got ${JSON.stringify(wanted)}`)
  }
  if (!(await simd())) {
    throw new Error(
      "Cannot open wasm: this runtime has no WebAssembly SIMD. Use Node 20.19 or later, or a current browser",
    )
  }
  if (threads > 1 && !(await sharedMemory())) {
    throw new Error(
      "Cannot open wasm with threads: no shared memory. Serve the page cross-origin isolated " +
        "(COOP and COEP headers), or use { threads: 1 }",
    )
  }
  enableRelaxedOnNode20()
  const relaxed = await relaxedSimd()
  if (wanted === "relaxed" && !relaxed) {
    throw new Error('Cannot open wasm: this runtime has no relaxed SIMD. Use { simd: "simd" }')
  }
  return { simd: wanted ?? (relaxed ? "relaxed" : "simd"), shared: threads > 1 }
}

/** Node 20 has relaxed SIMD behind a flag that later versions no longer know. */
function enableRelaxedOnNode20(): void {
  if (!isNode20) return
  const { setFlagsFromString } = fromNode("node:v8")
  setFlagsFromString("--experimental-wasm-relaxed-simd")
}

export interface LoadedKernels {
  readonly module: WebAssembly.Module
  /** Names of the kernels, in the order of the module's table. */
  readonly names: readonly string[]
  /** Whether the runtime's relaxed integer dot is sound in every stage of compilation. */
  readonly relaxedDot: boolean
}

const isNode20 =
  typeof process !== "undefined" && process.versions?.node?.startsWith("20.") === true

/** The compiled module of a build. */
export async function loadKernels(build: Build): Promise<LoadedKernels> {
  const { kernels, base64 } = await embedded(build)
  const text = atob(base64)
  // By its index: going through a text's characters takes thirty times as long.
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return { module: await WebAssembly.compile(bytes), names: kernels, relaxedDot: !isNode20 }
}

/** Static names, so that bundlers see them; the files are made by build/kernels.ts. */
function embedded({ simd: kind, shared }: Build): Promise<Embedded> {
  if (kind === "relaxed") {
    return shared ? import("./kernels-relaxed-shared.js") : import("./kernels-relaxed.js")
  }
  return shared ? import("./kernels-simd-shared.js") : import("./kernels-simd.js")
}
