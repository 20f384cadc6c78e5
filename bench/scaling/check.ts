// Updates that ranks of this machine make together, beside what is predicted for them: each rank's own rates are
// taken while the others compute too, since they share its cores and memory.
import { median } from "../../backends/statistics.ts"
import type { Backend } from "../../engine/index.ts"
import { type Placement, randomModel } from "../../model/index.ts"
import { type Communicator, TrainStep } from "../../train/index.ts"
import { tensorsBeside } from "../../train/optimizers/index.ts"
import { gatherNumbers, meet } from "../../train/parallel/communicator.ts"
import { sharedModel } from "../../train/parallel/weights.ts"
import type { Sharding } from "../../train/step/options.ts"
import type { Report } from "../measure/report.ts"
import { rowsOf } from "../measure/train.ts"
import { measureCopies, measureNetwork, measureUpdate, nodeOf } from "./measure.ts"
import { type Kernels, type Outlined, type RankMemory, trainingOnPaper } from "./paper.ts"
import { type Network, type Node, shardings, updateTime } from "./predict.ts"

/** What a number of ranks did. */
export interface Checked {
  readonly size: number
  readonly threads: number
  readonly node: Node
  readonly network: Network | undefined
  readonly runs: readonly CheckedRun[]
}

interface CheckedRun {
  readonly shard: Sharding
  /** Seconds of an update. */
  readonly seconds: number
  readonly stateBytes: number
}

/** A prediction beside its measurement. */
export interface CheckRow {
  readonly size: number
  readonly threads: number
  readonly shard: Sharding
  readonly tokensPerSecond: number
  readonly predicted: number
  /** Predicted over measured, less 1. */
  readonly error: number
  /** Measured, over that of one process with all threads. */
  readonly ofOne: number
  readonly stateBytes: number
  readonly predictedStateBytes: number
}

interface CheckOptions {
  readonly ranks: Communicator
  readonly backend: Backend & { readonly threads?: number }
  readonly repeat: number
  readonly report: Report
  /** Micro-batches of an update, of all ranks. */
  readonly microBatches: number
}

/** As one of the ranks: what each does by itself, what they carry, and updates that they make together. */
export async function checkRanks(task: Outlined, options: CheckOptions): Promise<Checked> {
  const { ranks, backend, repeat } = options
  const own = await measureUpdate(task, { ...options, meet: () => meet(ranks) })
  await meet(ranks)
  const copies = await measureCopies(backend, repeat)
  const node = await meanOf(ranks, nodeOf(own, copies))
  const network = ranks.size > 1 ? await measureNetwork(ranks, 4 * repeat) : undefined
  const runs: CheckedRun[] = []
  for (const shard of ranks.size > 1 ? shardings : (["none"] as const)) {
    runs.push(await runTogether(task, shard, options))
  }
  return { size: ranks.size, threads: backend.threads ?? 1, node, network, runs }
}

/** Of all ranks. */
async function meanOf(ranks: Communicator, node: Node): Promise<Node> {
  const names = Object.keys(node) as (keyof Node)[]
  const all = await gatherNumbers(
    ranks,
    names.map((name) => node[name]),
  )
  const mean = (i: number) => all.reduce((sum, own) => sum + (own[i] as number), 0) / all.length
  return Object.fromEntries(names.map((name, i) => [name, mean(i)])) as unknown as Node
}

async function runTogether(
  { config, dtype, B, T, checkpointActivations }: Outlined,
  shard: Sharding,
  { ranks, backend, repeat, report, microBatches }: CheckOptions,
): Promise<CheckedRun> {
  const made = (placement: Placement) => randomModel(config, { backend, dtype, seed: 0 }, placement)
  const isFull = shard === "full" && ranks.size > 1
  const model = await (isFull
    ? sharedModel(ranks, (home) => made({ home }))
    : made({ room: tensorsBeside("adamw", dtype) }))
  const options = { ranks, accumulation: microBatches, shard, checkpointActivations }
  const step = await TrainStep.create(model, options)
  const rows = (B * microBatches) / ranks.size
  const seed = 1 + 2 * ranks.rank
  const [x, y] = [rowsOf(config, rows, T, seed), rowsOf(config, rows, T, seed + 1)]
  const times: number[] = []
  for (let i = -1; i < repeat; i++) {
    report(`${ranks.size} ranks, ${shard}`, Math.max(0, i) / repeat)
    await meet(ranks)
    const start = performance.now()
    await step.run(x, y, { lr: 1e-4 })
    if (i >= 0) times.push((performance.now() - start) / 1000)
  }
  const stateBytes = model.weightBytes + step.optimizerBytes
  await step.close()
  await model.close()
  return { shard, seconds: median(times), stateBytes }
}

/** Rows of what several numbers of ranks did, in turns: medians of the turns. */
export async function checkRows(
  task: Outlined,
  all: readonly Checked[],
  microBatches: number,
  kernels: Kernels,
): Promise<CheckRow[]> {
  const paper = await trainingOnPaper(task, kernels)
  const sizes = [...new Set(all.map(({ size }) => size))]
  const rows: Omit<CheckRow, "ofOne">[] = []
  for (const size of sizes) {
    const turns = all.filter((each) => each.size === size)
    for (const { shard } of (turns[0] as Checked).runs) {
      const memory = await paper.memoryOf({ size, shard })
      rows.push(rowOf(turns, { size, shard, microBatches }, { task, memory, paper }))
    }
  }
  await paper.close()
  const one = rows.find(({ size }) => size === 1)?.tokensPerSecond
  return rows.map((row) => ({ ...row, ofOne: row.tokensPerSecond / (one ?? Number.NaN) }))
}

interface Known {
  readonly task: Outlined
  readonly memory: RankMemory
  readonly paper: Awaited<ReturnType<typeof trainingOnPaper>>
}

function rowOf(
  turns: readonly Checked[],
  { size, shard, microBatches }: { size: number; shard: Sharding; microBatches: number },
  { task: { B, T }, memory, paper }: Known,
): Omit<CheckRow, "ofOne"> {
  const runs = turns.map((turn) => turn.runs.find((run) => run.shard === shard) as CheckedRun)
  const tokens = B * T * microBatches
  const tokensPerSecond = tokens / median(runs.map(({ seconds }) => seconds))
  const task = { ...paper, tokens: B * T, rounds: microBatches / size }
  const nobody = { latency: 0, bandwidth: Number.POSITIVE_INFINITY }
  const totals = turns.map(
    ({ node, network = nobody }) => updateTime(task, node, network, { size, shard }).total,
  )
  const predicted = tokens / median(totals)
  return {
    ...{ size, threads: (turns[0] as Checked).threads, shard, tokensPerSecond, predicted },
    error: predicted / tokensPerSecond - 1,
    stateBytes: (runs[0] as CheckedRun).stateBytes,
    predictedStateBytes: memory.stateBytes,
  }
}
