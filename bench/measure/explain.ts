// `elm bench --explain`: the steps of one token, with the work in each, the time that it takes and
// how near that is to what memory and multiply-adds allow (the roofline).
import type { Profile } from "../../backends/webgpu/index.ts"
import type { Backend, Plan } from "../../engine/index.ts"
import type { Ceilings } from "./ceiling.ts"
import type { Described } from "./described.ts"
import { spreadOf } from "./statistics.ts"

export interface StepRow {
  readonly step: number
  readonly op: string
  /** What ran on a GPU: entry points of shaders, copies among them. */
  readonly kernels: readonly string[]
  readonly workgroups: readonly number[]
  readonly bytes: number
  readonly flops: number
  /** Median; undefined on a GPU without timestamps. */
  readonly microseconds: number | undefined
  /** Time that the ceilings allow. */
  readonly rooflineMicroseconds: number
}

/** Times that every step is run; the cache needs as many places. */
export const explainRounds = 9

/** Runs a plan that a backend has memory for, and times its steps. */
export async function explain(
  backend: Backend & Described,
  plan: Plan,
  ceilings: Ceilings,
): Promise<StepRow[]> {
  const dispatches = await (backend.profile
    ? backend.profile(plan, explainRounds)
    : timeSteps(backend, plan))
  return plan.steps.map(({ op, call }, step) => {
    const own = dispatches.filter((d) => d.step === step)
    const { bytes, flops } = op.cost(call.params)
    const times = own.map(({ microseconds }) => microseconds)
    const known = times.every((us) => us !== undefined)
    return {
      step,
      op: op.name,
      kernels: own.map(({ kernel }) => kernel),
      workgroups: own.map(({ workgroups }) => workgroups),
      bytes,
      flops,
      microseconds: known ? times.reduce((sum, us) => sum + us, 0) : undefined,
      rooflineMicroseconds: roofline(bytes, flops, ceilings),
    }
  })
}

/** Microseconds that a step takes at least. */
export const roofline = (bytes: number, flops: number, ceilings: Ceilings): number =>
  1e6 * Math.max(bytes / ceilings.bytesPerSecond, flops / ceilings.flopsPerSecond)

/** Each step as a plan of its own, in turns, so that none finds its weights in a cache. */
async function timeSteps(backend: Backend, plan: Plan): Promise<Profile[]> {
  const singles = plan.steps.map((step) => backend.prepare({ ...plan, steps: [step] }))
  const times = singles.map((): number[] => [])
  for (let round = 0; round < explainRounds; round++) {
    for (const [i, single] of singles.entries()) {
      const start = performance.now()
      await single.run()
      times[i]?.push(1000 * (performance.now() - start))
    }
  }
  for (const single of singles) single.close()
  return plan.steps.map(({ op }, step) => ({
    step,
    kernel: op.name,
    workgroups: 0,
    microseconds: spreadOf(times[step] as number[]).median,
  }))
}
