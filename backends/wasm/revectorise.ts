// V8's revectoriser joins adjacent pairs of 128-bit operations into 256-bit ones, on x86-64. It is
// experimental, so it is used only after a product computed with it has been checked and timed.
import { allocate, type Backend, bufferOf, plan, readBound } from "../../engine/index.ts"
import { matmul, panelsOf } from "../../ops/index.ts"

/** Turns the option on for code compiled from now on, in this process and its workers. */
export async function switchOnRevectorise(): Promise<boolean> {
  const [major = 0] = (globalThis.process?.versions?.node ?? "").split(".").map(Number)
  if (major < 24 || process.versions.bun !== undefined || process.arch !== "x64") return false
  const { setFlagsFromString } = await import("node:v8")
  setFlagsFromString("--experimental-wasm-revectorize")
  return true
}

const [M, N, K] = [36, 256, 256] as const
const rounds = 5

/** Whether the wide tile gives the same product as the narrow one, and sooner. */
export async function wideTilesPay(backend: Backend & { wide: boolean }): Promise<boolean> {
  const x = allocate(backend, [M, K])
  const w = allocate(backend, [panelsOf(N), K, 16])
  const y = allocate(backend, [M, N])
  const value = (i: number): number => ((i * 2654435761) % 1024) / 512 - 1
  backend.write(
    bufferOf(x),
    Float32Array.from({ length: x.size }, (_, i) => value(i)),
  )
  backend.write(
    bufferOf(w),
    Float32Array.from({ length: w.size }, (_, i) => value(i + 7)),
  )
  const prepared = backend.prepare(plan([[y, matmul(x, w, { N })]], backend))
  try {
    const seconds: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
    const results: Float32Array[] = []
    for (let i = 0; i < 2 * rounds; i++) {
      const wide = i % 2
      backend.wide = wide === 1
      const start = performance.now()
      for (let n = 0; n < 4; n++) await prepared.run()
      seconds[wide] = Math.min(seconds[wide] as number, performance.now() - start)
      results[wide] = (await readBound(y, backend)) as Float32Array
    }
    const [narrow, wide] = results as [Float32Array, Float32Array]
    const equal = narrow.every((v, i) => Math.abs(v - (wide[i] as number)) <= 1e-3)
    return equal && seconds[1] < seconds[0]
  } finally {
    prepared.close()
    for (const tensor of [x, w, y]) bufferOf(tensor).free()
  }
}
