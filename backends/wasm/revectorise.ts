// V8's revectoriser joins adjacent pairs of 128-bit operations into 256-bit ones, on x86-64. It is
// an experimental option of the whole process, so what it makes of a product is checked against a
// plain loop before anything else runs, and the tile made for it is used only if it is faster.
import { allocate, type Backend, bufferOf, plan, readBound } from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import { matmul, panelsOf, panelWidth } from "../../ops/index.ts"

/** Turns the option on for code compiled from now on, in this process and its workers. */
export function switchOnRevectorise(): boolean {
  const [major = 0] = (globalThis.process?.versions?.node ?? "").split(".").map(Number)
  if (major < 24 || process.versions.bun !== undefined || process.arch !== "x64") return false
  const { setFlagsFromString } = fromNode("node:v8")
  setFlagsFromString("--experimental-wasm-revectorize")
  return true
}

const [M, N, K] = [36, 256, 256] as const
const rounds = 5

/**
 * Whether the wide tile is faster than the narrow one. Throws Error when either differs from a plain
 * loop: then code compiled with this option is not to be trusted.
 */
export async function wideTilesPay(backend: Backend & { wide: boolean }): Promise<boolean> {
  const x = allocate(backend, [M, K])
  const w = allocate(backend, [panelsOf(N), K, panelWidth])
  const y = allocate(backend, [M, N])
  const [xs, ws] = [x, w].map(({ size }, n) =>
    Float32Array.from({ length: size }, (_, i) => value(i + n)),
  )
  backend.write(bufferOf(x), xs as Float32Array)
  backend.write(bufferOf(w), ws as Float32Array)
  const want = plainProduct(xs as Float32Array, ws as Float32Array)
  const prepared = backend.prepare(plan([[y, matmul(x, w, { N })]], backend))
  const seconds = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY] as [number, number]
  try {
    for (let i = 0; i < 2 * rounds; i++) {
      const wide = i % 2
      backend.wide = wide === 1
      const start = performance.now()
      for (let n = 0; n < 4; n++) await prepared.run()
      seconds[wide] = Math.min(seconds[wide] as number, performance.now() - start)
      check((await readBound(y, backend)) as Float32Array, want)
    }
    return seconds[1] < seconds[0]
  } finally {
    prepared.close()
    for (const tensor of [x, w, y]) bufferOf(tensor).free()
  }
}

const value = (i: number): number => ((i * 2654435761) % 1024) / 512 - 1

/** The same product in float64, number by number. */
function plainProduct(x: Float32Array, w: Float32Array): Float64Array {
  return Float64Array.from({ length: M * N }, (_, i) => {
    const [m, n] = [Math.floor(i / N), i % N]
    const panel = Math.floor(n / panelWidth) * K * panelWidth + (n % panelWidth)
    let sum = 0
    for (let k = 0; k < K; k++)
      sum += (x[m * K + k] as number) * (w[panel + k * panelWidth] as number)
    return sum
  })
}

function check(got: Float32Array, want: Float64Array): void {
  if (got.every((v, i) => Math.abs(v - (want[i] as number)) <= 1e-3)) return
  throw new Error(
    "wasm: V8's 256-bit operations give wrong products on this machine. Open without { revectorise }",
  )
}
