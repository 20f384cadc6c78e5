// `elm bench norms --alone`: RMSNorm by itself, as the graph of its primitive steps and as one step,
// many in a row in one plan, in turns. What a norm costs beyond its arithmetic shows in a single row.
import {
  allocate,
  type Backend,
  bufferOf,
  type Prepared,
  plan,
  type Tensor,
} from "../../engine/index.ts"
import { normalizers } from "./norm_kinds.ts"
import type { Report } from "./report.ts"
import { type Spread, spreadOf } from "./statistics.ts"

/** A token's row and a short prompt's, of the width of the 1.1B model. */
const counts = [1, 36] as const
const width = 2048
const eps = 1e-6
/** Norms in one plan, each of the result of the one before. */
const inPlan = 20
/** Time of one measurement, so that the clock and a result's way back are little of it. */
const leastMs = 20
const leastRepeats = 7

export interface NormRowsResult {
  readonly rows: number
  readonly width: number
  /** Medians, for one norm. */
  readonly naiveMicroseconds: number
  readonly fusedMicroseconds: number
  /** Median, smallest and largest of the ratios of measurements made together. */
  readonly ratio: Spread
}

interface NormPlan {
  readonly prepared: Prepared
  runs: number
}

export async function benchNormRows(
  backend: Backend,
  { repeat }: { readonly repeat: number },
  report: Report,
): Promise<NormRowsResult[]> {
  const results: NormRowsResult[] = []
  for (const rows of counts) {
    report(`norms of ${rows} ${rows === 1 ? "row" : "rows"}`)
    results.push(await compare(backend, rows, Math.max(leastRepeats, repeat)))
  }
  return results
}

async function compare(backend: Backend, rows: number, repeats: number): Promise<NormRowsResult> {
  const [x, y] = [0, 1].map(() => allocate(backend, [rows, width])) as [Tensor, Tensor]
  const n = allocate(backend, [width])
  backend.write(bufferOf(n), new Float32Array(width).fill(1))
  const start = Float32Array.from({ length: x.size }, (_, i) => Math.sin(i))
  backend.write(bufferOf(x), start)
  const variants = [normalizers.naive, normalizers.fused].map((normalize): NormPlan => {
    let result = x
    for (let i = 0; i < inPlan; i++) result = normalize(result, { kind: "rms", eps, weight: n })
    return { prepared: backend.prepare(plan([[y, result]], backend)), runs: 1 }
  }) as [NormPlan, NormPlan]
  try {
    for (const variant of variants) await warm(backend, variant, y)
    const pairs: [naive: number, fused: number][] = []
    for (let i = 0; i < repeats; i++) {
      const first = await seconds(backend, variants[0], y)
      pairs.push([first, await seconds(backend, variants[1], y)])
    }
    const each = (which: 0 | 1): number =>
      (1e6 * spreadOf(pairs.map((pair) => pair[which])).median) / inPlan
    const ratio = spreadOf(pairs.map(([naive, fused]) => naive / fused))
    return { rows, width, naiveMicroseconds: each(0), fusedMicroseconds: each(1), ratio }
  } finally {
    for (const { prepared } of variants) prepared.close()
    for (const tensor of [x, y, n]) bufferOf(tensor).free()
  }
}

/** Runs until the number of runs takes long enough to be measured. */
async function warm(backend: Backend, variant: NormPlan, y: Tensor): Promise<void> {
  await seconds(backend, variant, y)
  for (;;) {
    const ms = 1e3 * variant.runs * (await seconds(backend, variant, y))
    if (ms >= leastMs) return
    variant.runs *= 2
  }
}

/** Seconds of one run of the plan, of several queued, up to the result's arrival. */
async function seconds(backend: Backend, { prepared, runs }: NormPlan, y: Tensor): Promise<number> {
  const start = performance.now()
  for (let i = 0; i < runs; i++) {
    const running = prepared.run()
    if (running) await running
  }
  await backend.read(bufferOf(y), 4)
  return (performance.now() - start) / 1e3 / runs
}
