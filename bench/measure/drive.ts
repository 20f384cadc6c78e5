// `elm bench drive`: processor time of handing one token's plan to a GPU, on Dawn's driver that
// computes nothing. What is left is this package, Dawn's checks, and its encoding of commands.
import type { WebgpuBackend } from "../../backends/webgpu/index.ts"
import { type CacheDType, publishedConfig, type WeightDType } from "../../model/index.ts"
import { outlineSession, sharingMemory } from "./outline.ts"
import type { Report } from "./report.ts"
import { type Spread, spreadOf } from "./statistics.ts"

interface DriveOptions {
  readonly model: readonly string[]
  readonly dtype: WeightDType
  readonly cache: CacheDType
  readonly repeat: number
}

export interface DriveRow {
  readonly model: string
  readonly dtype: WeightDType
  readonly dispatchesPerToken: number
  readonly submitsPerToken: number
  readonly readbacksPerToken: number
  readonly bindGroupsPerToken: number
  /** Of all threads of the process, milliseconds per token. */
  readonly processorMs: Spread
  /** Of the calling thread alone: from the call until it is free again. */
  readonly callerMs: Spread
}

const tokens = 200
const capacity = 2048
/** Rounds until the runtime has optimized the code. */
const warmUps = 5

export async function benchDrive(options: DriveOptions, report: Report): Promise<DriveRow[]> {
  const { openWebgpu } = await import("../../backends/webgpu/index.ts")
  const rows: DriveRow[] = []
  for (const name of options.model) {
    const backend = await openWebgpu({ driver: "null" })
    rows.push(await drive(name, backend, options, report).finally(() => backend.close()))
  }
  return rows
}

async function drive(
  name: string,
  backend: WebgpuBackend,
  { dtype, cache, repeat }: DriveOptions,
  report: Report,
): Promise<DriveRow> {
  const config = publishedConfig(name)
  const options = { dtype, cache, capacity }
  const { session, close } = outlineSession(config, backend, options, sharingMemory(backend))
  await session.prefill([1], 0, "next")
  await session.decode()
  const processor: number[] = []
  const caller: number[] = []
  let counts = { ...backend.counts }
  for (let round = 0; round < repeat + warmUps; round++) {
    report(`driving ${config.name}`, round / (repeat + warmUps))
    counts = { ...backend.counts }
    const used = process.cpuUsage()
    let callerMs = 0
    for (let i = 0; i < tokens; i += 4) {
      const start = performance.now()
      const steps = [0, 1, 2, 3].map(() => session.decode())
      callerMs += performance.now() - start
      await Promise.all(steps)
    }
    const { user, system } = process.cpuUsage(used)
    if (round < warmUps) continue
    processor.push((user + system) / 1000 / tokens)
    caller.push(callerMs / tokens)
  }
  const each = (of: "dispatches" | "submits" | "readbacks" | "bindGroups"): number =>
    (backend.counts[of] - counts[of]) / tokens
  const row = {
    model: config.name,
    dtype,
    dispatchesPerToken: each("dispatches"),
    submitsPerToken: each("submits"),
    readbacksPerToken: each("readbacks"),
    bindGroupsPerToken: each("bindGroups"),
    processorMs: spreadOf(processor),
    callerMs: spreadOf(caller),
  }
  close()
  return row
}
