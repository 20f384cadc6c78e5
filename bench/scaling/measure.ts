// What this machine computes of an update, by phase, and what its ranks carry: what a prediction is made from.
import { median } from "../../backends/statistics.ts"
import type { Backend } from "../../engine/index.ts"
import { Holder, type LanguageModel, randomModel, scaledConfig } from "../../model/index.ts"
import { type Communicator, ranksInMemory, TrainStep } from "../../train/index.ts"
import { tensorsBeside } from "../../train/optimizers/index.ts"
import { ownedParts } from "../../train/parallel/buckets.ts"
import { gatherNumbers } from "../../train/parallel/communicator.ts"
import { gatherParts } from "../../train/parallel/gather.ts"
import { Staging } from "../../train/parallel/staging.ts"
import { exchangedBytes, GradientSums } from "../../train/parallel/sums.ts"
import type { Report } from "../measure/report.ts"
import { rowsOf, type TrainCase, trainCases } from "../measure/train.ts"
import type { Outlined } from "./paper.ts"
import type { Network, Node } from "./predict.ts"

/** What can be measured: those of `elm bench train`, and one that takes no time. */
export const scaleCases: readonly TrainCase[] = [
  {
    name: "tiny",
    config: scaledConfig({
      ...{ name: "tiny", layers: 2, modelDim: 64, headDim: 16, vocabSize: 512 },
      queryHeadsPerKeyHead: 1,
    }),
    ...{ B: 1, T: 32 },
  },
  ...trainCases,
]

/** An update measured by phase, and by what it would be with two micro-batches. */
export interface MeasuredUpdate {
  readonly tokens: number
  readonly flops: number
  /** Seconds. */
  readonly forward: number
  readonly backward: number
  readonly update: number
  readonly parameters: number
}

const secondsOf = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

/** What is measured, and how often. */
interface Measuring {
  readonly backend: Backend
  readonly repeat: number
  readonly report: Report
  /** Called before each time that is taken: ranks begin together. */
  meet(): Promise<unknown>
}

/** Times validation, and updates of one and of two micro-batches. */
export async function measureUpdate(task: Outlined, how: Measuring): Promise<MeasuredUpdate> {
  const { config, dtype, B, T } = task
  how.report(`${config.name}: weights`)
  const room = tensorsBeside("adamw", dtype)
  const model = await randomModel(config, { backend: how.backend, dtype, seed: 0 }, { room })
  const one = await timesOf(model, task, 1, how)
  const two = await timesOf(model, task, 2, how)
  const { parameters } = model
  await model.close()
  // A second micro-batch is a pass alone; what is left of the first is the update.
  const pass = Math.min(one.whole, Math.max(one.forward, two.whole - one.whole))
  return {
    ...{ tokens: B * T, flops: one.flops, parameters, forward: one.forward },
    backward: pass - one.forward,
    update: Math.max(one.whole - pass, one.whole / 1000),
  }
}

/** Median seconds of an update of so many micro-batches, and of a validation of the first. */
async function timesOf(
  model: LanguageModel,
  { config, B, T, checkpointActivations }: Outlined,
  accumulation: number,
  { repeat, report, meet }: Measuring,
) {
  const step = await TrainStep.create(model, { checkpointActivations, accumulation })
  const rows = accumulation * B
  const [x, y] = [rowsOf(config, rows, T, 1), rowsOf(config, rows, T, 2)]
  const times = { forward: [] as number[], whole: [] as number[] }
  // The first warms up.
  for (let i = -1; i < repeat; i++) {
    report(`${config.name}: updates of ${accumulation}`, Math.max(0, i) / repeat)
    await meet()
    const forward = await secondsOf(() => step.evaluate(x, y))
    await meet()
    const whole = await secondsOf(() => step.run(x, y, { lr: 1e-4 }))
    if (i < 0) continue
    times.forward.push(forward)
    times.whole.push(whole)
  }
  const { flops } = step
  await step.close()
  return { flops, forward: median(times.forward) / accumulation, whole: median(times.whole) }
}

/** What a node is, by what it did of an update. */
export const nodeOf = (
  { flops, forward, backward, update, parameters }: MeasuredUpdate,
  copies: Pick<Node, "summedPerSecond" | "gatheredPerSecond">,
): Node => ({
  ...copies,
  flopsPerSecond: flops / (forward + backward),
  forwardPart: forward / (forward + backward),
  movedPerSecond: parameters / update,
})

/** Numbers of the gradient that is summed and gathered. */
const measuredNumbers = 1 << 22

/** Bytes of gradients per second that a rank packs, receives and adds up, and of weights that it gathers, all but
 *  the network: by two ranks in one process. */
export async function measureCopies(
  backend: Backend,
  repeat: number,
): Promise<Pick<Node, "summedPerSecond" | "gatheredPerSecond">> {
  const held = new Holder(backend)
  const bytes = 4 * measuredNumbers
  try {
    const two = ranksInMemory(2).map((ranks) => {
      const whole = held.allocate([measuredNumbers])
      const parts = ownedParts(whole, 0, 2)
      const where = { backend, ranks, staging: new Staging() }
      const sums = new GradientSums([{ gradient: whole, parts }], where, exchangedBytes("none"))
      return { whole, parts, sums, where }
    })
    const [summed, gathered]: [number[], number[]] = [[], []]
    for (let i = -1; i < repeat; i++) {
      const sum = await secondsOf(() =>
        Promise.all(two.map(({ sums }) => sums.add([0], i + 1).then(() => sums.settled()))),
      )
      const gather = await secondsOf(() =>
        Promise.all(two.map((own) => gatherParts([own], own.where))),
      )
      if (i < 0) continue
      summed.push(sum)
      gathered.push(gather)
    }
    // Both ranks' work is done by one.
    return {
      summedPerSecond: (2 * bytes) / median(summed),
      gatheredPerSecond: (2 * bytes) / median(gathered),
    }
  } finally {
    held.free()
  }
}

/** Bytes of a call whose bandwidth is measured. */
const measuredBytes = 1 << 24

/** Latency and bandwidth of the exchanges that training makes, the slowest rank's. */
export async function measureNetwork(ranks: Communicator, repeat: number): Promise<Network> {
  const { size } = ranks
  const timesOf = async (bytes: number): Promise<number> => {
    const own = Math.ceil(bytes / size)
    const parts = Array.from({ length: size }, (_, r) => ({ at: r * own, bytes: own }))
    const [buffer, received] = [new Uint8Array(size * own), new Uint8Array(size * own)]
    const times: number[] = []
    for (let i = -1; i < repeat; i++) {
      const exchange = await secondsOf(() => ranks.exchange(buffer, parts, received))
      const gather = await secondsOf(() => ranks.allGather(buffer, parts))
      if (i >= 0) times.push((exchange + gather) / 2)
    }
    const all = await gatherNumbers(ranks, [median(times)])
    return Math.max(...all.map(([time = 0]) => time))
  }
  const latency = await timesOf(size)
  const whole = await timesOf(measuredBytes)
  const sent = (measuredBytes * (size - 1)) / size
  return { latency, bandwidth: sent / Math.max(whole - latency, whole / 1000) }
}
