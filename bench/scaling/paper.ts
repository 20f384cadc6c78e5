// A training step of a model that is not in memory: what each of N ranks would keep, as the trainer itself counts it,
// and the operations of an update.
import type { Backend } from "../../engine/index.ts"
import { type DecoderConfig, type LanguageModel, randomModel } from "../../model/index.ts"
import { type Communicator, TrainStep } from "../../train/index.ts"
import { sharedModel } from "../../train/parallel/weights.ts"
import type { Sharding } from "../../train/step/options.ts"
import { PaperBackend } from "../measure/outline.ts"

/** What is asked of the backend that would run it. */
export type Kernels = Pick<Backend, "name" | "has" | "alignment">

/** What is trained. */
export interface Outlined {
  readonly config: DecoderConfig
  readonly dtype: "f32" | "bf16"
  /** Rows and positions of a micro-batch. */
  readonly B: number
  readonly T: number
  readonly checkpointActivations: boolean
}

/** What a rank takes. */
export interface RankMemory {
  /** Weights, masters, moments, gradients and their sums. */
  readonly stateBytes: number
  readonly activationBytes: number
  /** Most that is on its way to and from others at a time. */
  readonly underWayBytes: number
}

/** A training that nobody runs. */
interface TrainingOnPaper {
  readonly parameters: number
  readonly weightBytes: number
  readonly layers: number
  /** Of forward and backward of a micro-batch. */
  readonly flops: number
  /** Of the first of `size` ranks. */
  memoryOf(how: { readonly size: number; readonly shard: Sharding }): Promise<RankMemory>
  close(): Promise<void>
}

const nothing = async (): Promise<void> => {}

/** A rank that meets nobody. */
const rankOnPaper = (size: number): Communicator => ({
  ...{ rank: 0, size, name: "paper", exchange: nothing, allGather: nothing },
  ...{ abort() {}, close: nothing },
})

/** Plans and memory, of which nothing is run. */
export async function trainingOnPaper(
  { config, dtype, B, T, checkpointActivations }: Outlined,
  kernels: Kernels,
): Promise<TrainingOnPaper> {
  const backend = new PaperBackend(kernels.name, kernels, kernels)
  const model = await randomModel(config, { backend, dtype, seed: 0 })
  const { parameters, weightBytes } = model
  /** What is known of a step of so many ranks, with its plans where these are asked for. */
  const stepOf = async (own: LanguageModel, size: number, shard: Sharding, planned = true) => {
    const options = { ranks: rankOnPaper(size), accumulation: size, shard, checkpointActivations }
    const step = await TrainStep.create(own, options)
    try {
      const rows = new Array<Int32Array>(B * size).fill(new Int32Array(T))
      // Nothing is run: this has the plans made.
      if (planned) await step.evaluate(rows, rows)
      const { activationBytes, flops } = step
      const underWayBytes = step.stateBytes.underWay
      const stateBytes = own.weightBytes + step.optimizerBytes
      return { stateBytes, underWayBytes, activationBytes, flops }
    } finally {
      await step.close()
    }
  }
  const { flops, ...alone } = await stepOf(model, 1, "none")
  const known = new Map<string, RankMemory>()
  const memoryOf = async (size: number, shard: "none" | "state"): Promise<RankMemory> => {
    if (size === 1) return alone
    const key = `${size} ${shard}`
    const before = known.get(key)
    if (before) return before
    const { flops: _, ...found } = await stepOf(model, size, shard)
    known.set(key, found)
    return found
  }
  return {
    ...{ parameters, weightBytes, layers: config.layers, flops },
    async memoryOf({ size, shard }) {
      if (shard !== "full" || size === 1) return memoryOf(size, shard === "none" ? shard : "state")
      const own = await sharedModel(rankOnPaper(size), (home) =>
        randomModel(config, { backend, dtype, seed: 0 }, { home }),
      )
      // To make its plans would have weights gathered; what lies between their steps is the same.
      const { flops: _, ...found } = await stepOf(own, size, shard, false)
      await own.close()
      return { ...found, activationBytes: (await memoryOf(size, "state")).activationBytes }
    },
    close: () => model.close(),
  }
}
