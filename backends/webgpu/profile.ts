// Times the dispatches of a plan on the device itself: each in a pass of its own between two
// timestamps.
import { median } from "../statistics.ts"
import { usage } from "./buffer.ts"
import { type Dispatch, encodeOne, type Replay } from "./replay.ts"

/** One dispatch of a plan. */
export interface Profile {
  /** Index of the plan's step. */
  readonly step: number
  /** Entry point of the shader: the op's kernel, or "stage" for a copy. */
  readonly kernel: string
  readonly workgroups: number
  /** Median time on the device; undefined where it has no timestamps. */
  readonly microseconds: number | undefined
}

/** Queries of one set. */
const mostQueries = 4096

/** Runs a compiled plan `repeat` times. */
export async function profile(
  device: GPUDevice,
  replay: Replay,
  timestamps: boolean,
  repeat: number,
): Promise<Profile[]> {
  const runs: number[][] = []
  for (let i = 0; timestamps && i < repeat; i++) runs.push(await timesOf(device, replay.dispatches))
  return replay.dispatches.map(({ step, pipeline, groups }, i) => ({
    step,
    kernel: pipeline.entry,
    workgroups: groups,
    microseconds: timestamps ? median(runs.map((run) => run[i] as number)) / 1000 : undefined,
  }))
}

/** Nanoseconds of each dispatch in one run. */
async function timesOf(device: GPUDevice, dispatches: readonly Dispatch[]): Promise<number[]> {
  const encoder = device.createCommandEncoder()
  const parts: { set: GPUQuerySet; count: number }[] = []
  for (let at = 0; at < dispatches.length; at += mostQueries / 2) {
    const part = dispatches.slice(at, at + mostQueries / 2)
    const count = 2 * part.length
    const set = device.createQuerySet({ type: "timestamp", count })
    part.forEach((dispatch, i) => {
      const pass = encoder.beginComputePass({
        timestampWrites: {
          querySet: set,
          beginningOfPassWriteIndex: 2 * i,
          endOfPassWriteIndex: 2 * i + 1,
        },
      })
      pass.setPipeline(dispatch.pipeline.pipeline as GPUComputePipeline)
      encodeOne(pass, dispatch)
      pass.end()
    })
    parts.push({ set, count })
  }
  const size = 16 * dispatches.length
  const resolved = device.createBuffer({ size, usage: usage.queryResolve | usage.copySource })
  const copy = device.createBuffer({ size, usage: usage.mapRead | usage.copyTarget })
  parts.forEach(({ set, count }, i) => {
    encoder.resolveQuerySet(set, 0, count, resolved, i * mostQueries * 8)
  })
  encoder.copyBufferToBuffer(resolved, 0, copy, 0, size)
  device.queue.submit([encoder.finish()])
  try {
    await copy.mapAsync(1)
    const ticks = new BigUint64Array(copy.getMappedRange())
    return dispatches.map((_, i) => Number((ticks[2 * i + 1] ?? 0n) - (ticks[2 * i] ?? 0n)))
  } finally {
    for (const { set } of parts) set.destroy()
    resolved.destroy()
    copy.destroy()
  }
}
