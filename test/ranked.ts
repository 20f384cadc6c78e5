// Updates that ranks in memory make of a tiny model, and what they leave.
import { open } from "../backends/index.ts"
import { type Backend, readBound, Tensor } from "../engine/index.ts"
import {
  type AdapterOptions,
  addAdapter,
  type DecoderConfig,
  type LanguageModel,
  OpenELM,
  randomModel,
  scaledConfig,
  type WeightDType,
} from "../model/index.ts"
import { type StateBytes, TrainStep } from "../train/index.ts"
import type { Communicator } from "../train/parallel/communicator.ts"
import { sharedModel } from "../train/parallel/weights.ts"
import { wholeOf } from "../train/run/whole.ts"
import type { TrainOptions } from "../train/step/options.ts"
import { hasMaster } from "../train/step/update.ts"

export const wasm = await open("wasm", { threads: 1 })

// The embedding is more than what one rank sums of it.
export const config = scaledConfig({
  ...{ layers: 2, modelDim: 32, headDim: 8, vocabSize: 4200, ffnDivisor: 19, maxContext: 8 },
  ...{ queryHeadsPerKeyHead: 1, paddingIndex: 0 },
})
const updates = 2

/** Row b of update u: of its 7 targets some count, another number in each. */
const row = (u: number, b: number, by: number, counted = 7): number[] =>
  Array.from({ length: 7 }, (_, i) => (i < counted ? 1 + ((u * 997 + b * 355 + i * by) % 4199) : 0))
export const inputs = (u: number, b: number) => row(u, b, 31)
export const targets = (u: number, b: number) => row(u, b, 57, [7, 2, 5, 1, 6][b % 5])

/** Updates of a model by one rank, or of an adapter beside it; what they leave, and said. */
export async function trained(
  dtype: WeightDType,
  given: TrainOptions & { accumulation: number; beside?: AdapterOptions },
  backend: Backend = wasm,
) {
  const { beside, ...options } = given
  const how = { backend, dtype, seed: 5 } as const
  const { ranks, shard } = options
  const model =
    ranks && shard === "full"
      ? await sharedModel(ranks, (home) => randomModel(config, how, { home }))
      : await OpenELM.random(config, how)
  const adapter = beside && (await addAdapter(model, beside))
  const more = { ignoreIndex: 0, clip: 0.5, ...(adapter && { adapter }) }
  const step = await TrainStep.create(model, { ...more, ...options })
  const { rank, size } = options.ranks ?? { rank: 0, size: 1 }
  const own = Array.from({ length: options.accumulation }, (_, i) => i).filter(
    (i) => i % size === rank,
  )
  const said: unknown[] = []
  for (let u = 0; u < updates; u++) {
    const [x, y] = [inputs, targets].map((rows) => own.map((b) => rows(u, b)))
    said.push(await step.run(x as number[][], y as number[][], { lr: 1e-2 }))
  }
  const bytes: Buffer[] = []
  for (const p of step.parameters) {
    const { weight, master, state, owned } = p
    for (const tensor of [owned?.weight ?? weight, master, ...state]) {
      const whole = wholeOf(step, p, tensor)
      const read = await readBound(whole instanceof Tensor ? whole : await whole.lend(), backend)
      const { buffer, byteOffset, byteLength } = read
      bytes.push(Buffer.from(buffer.slice(byteOffset, byteOffset + byteLength)))
      if (!(whole instanceof Tensor)) whole.giveBack()
    }
  }
  // All rows on every rank: the loss of one process.
  const rows = Array.from({ length: options.accumulation }, (_, b) => b)
  const evaluation = await step.evaluate(
    rows.map((b) => inputs(7, b)),
    rows.map((b) => targets(7, b)),
  )
  const { flops } = step
  const stateBytes = step.parameters
    .flatMap(({ weight, master, state }) => (hasMaster(weight) ? [...state, master] : state))
    .reduce((sum, { bytes }) => sum + bytes, 0)
  await step.close()
  await model.close()
  return { said, bytes: Buffer.concat(bytes), flops, stateBytes, evaluation }
}

/** What `work` gives with a model of which each of several ranks keeps a part. */
export async function withModel<T>(
  make: (placement: object) => Promise<LanguageModel>,
  ranks: Communicator,
  work: (model: LanguageModel) => Promise<T>,
): Promise<T> {
  const model = await (ranks.size > 1 ? sharedModel(ranks, (home) => make({ home })) : make({}))
  try {
    return await work(model)
  } finally {
    await model.close()
  }
}

/** What a step of this rank keeps of weights in bf16, or of an adapter beside them, and what its backend then has in
 *  use by `used`. */
export function keptBy(
  size: DecoderConfig,
  ranks: Communicator,
  backend: Backend,
  {
    used = () => 0,
    beside,
  }: { readonly used?: () => number; readonly beside?: AdapterOptions } = {},
): Promise<{ readonly bytes: StateBytes; readonly used: number }> {
  const before = used()
  const how = { backend, dtype: "bf16" } as const
  const fill = async (): Promise<void> => undefined
  const make = (placement: object) => randomModel(size, how, { ...placement, fill })
  return withModel(make, ranks, async (model) => {
    const adapter = beside && (await addAdapter(model, beside))
    const options = {
      ranks,
      accumulation: ranks.size,
      shard: "full",
      ...(adapter && { adapter }),
    } as const
    const step = await TrainStep.create(model, options)
    const kept = { bytes: step.stateBytes, used: used() - before }
    await step.close()
    return kept
  })
}

export const totalOf = (bytes: StateBytes): number =>
  Object.values(bytes).reduce((a, b) => a + b, 0)
