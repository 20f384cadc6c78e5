// V8's revectorizer joins adjacent pairs of 128-bit operations into 256-bit ones, on x86-64. It is
// an experimental option of the whole process, so what it makes of a product is checked against a
// plain loop before anything else runs, and the tile made for it is used only if it is faster once
// V8 has optimized both.
import { allocate, type Backend, bufferOf, plan, readBound } from "../../engine/index.ts"
import { fromNode } from "../../engine/node.ts"
import { matmul, panelsOf, panelWidth } from "../../ops/index.ts"

/** Turns the option on for code compiled from now on, in this process and its workers. */
export function switchOnRevectorize(): boolean {
  const [major = 0] = (globalThis.process?.versions?.node ?? "").split(".").map(Number)
  if (major < 24 || process.versions.bun !== undefined || process.arch !== "x64") return false
  setFlag("--experimental-wasm-revectorize")
  return true
}

const setFlag = (flag: string): void => fromNode("node:v8").setFlagsFromString(flag)

/** GFLOP/s of each tile in its fastest turn. */
export interface TileRates {
  readonly narrow: number
  readonly wide: number
}

/** The wide tile has to be faster by this factor: within it, the two are level and the choice says nothing. */
const margin = 1.05

export const wideTilesPay = ({ narrow, wide }: TileRates): boolean => wide > narrow * margin

/** A product of which a turn of four takes about a quarter of a millisecond: less than a time slice, so that
 *  beside other programs some turns have the machine to themselves. */
const [M, N, K] = [36, 256, 512] as const
const callsPerTurn = 4
const turns = { steady: 12, timed: 40 } as const
/** Longest time for tier-up, in milliseconds: on a machine that is busy it may take that long. */
const patience = 1000

/**
 * Rates of a product with the narrow and the wide tile, after V8 has optimized both, in turns. Throws
 * Error when either differs from a plain loop: then code compiled with this option is not to be trusted.
 */
export async function raceTiles(backend: Backend & { wide: boolean }): Promise<TileRates> {
  const x = allocate(backend, [M, K])
  const w = allocate(backend, [panelsOf(N), K, panelWidth])
  const y = allocate(backend, [M, N])
  const [xs, ws] = [x, w].map(({ size }, n) =>
    Float32Array.from({ length: size }, (_, i) => value(i + n)),
  ) as [Float32Array, Float32Array]
  backend.write(bufferOf(x), xs)
  backend.write(bufferOf(w), ws)
  const want = plainProduct(xs, ws)
  const prepared = backend.prepare(plan([[y, matmul(x, w, { N })]], backend))
  const turn = async (wide: boolean): Promise<number> => {
    backend.wide = wide
    const start = performance.now()
    for (let n = 0; n < callsPerTurn; n++) await prepared.run()
    return performance.now() - start
  }
  try {
    await tierUp(turn)
    const [narrow, wide] = await fastest(turn)
    for (const each of [false, true]) {
      await turn(each)
      check((await readBound(y, backend)) as Float32Array, want)
    }
    const flops = 2 * M * N * K * callsPerTurn
    return { narrow: flops / narrow / 1e6, wide: flops / wide / 1e6 }
  } finally {
    prepared.close()
    for (const tensor of [x, w, y]) bufferOf(tensor).free()
  }
}

type Turn = (wide: boolean) => Promise<number>

/** Runs both tiles until the time of a turn has stopped falling. V8 optimizes on the thread that runs,
 *  meanwhile: in the background it would be done at a time that nobody knows. */
async function tierUp(turn: Turn): Promise<void> {
  const until = performance.now() + patience
  let best = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  setFlag("--wasm-sync-tier-up")
  try {
    for (let steady = 0; steady < turns.steady && performance.now() < until; steady++) {
      const times: number[] = []
      for (const wide of [false, true]) times.push(await turn(wide))
      if (times.some((time, i) => time < 0.95 * (best[i] as number))) steady = 0
      best = best.map((least, i) => Math.min(least, times[i] as number))
    }
  } finally {
    setFlag("--no-wasm-sync-tier-up")
  }
}

/** Least time of a turn with the narrow and the wide tile. */
async function fastest(turn: Turn): Promise<[narrow: number, wide: number]> {
  const best: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (let i = 0; i < turns.timed; i++) {
    best[0] = Math.min(best[0], await turn(false))
    best[1] = Math.min(best[1], await turn(true))
  }
  return best
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
    "wasm: V8's 256-bit operations give wrong products on this machine. Open without { revectorize }",
  )
}
