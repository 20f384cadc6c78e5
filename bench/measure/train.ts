// `elm bench train`: tokens per second of whole training steps, forward, backward and AdamW, on
// seeded random models and tokens, beside the multiply-add rate measured in between.
import { type Backend, uniformAt } from "../../engine/index.ts"
import { configOf, type ModelConfig, randomModel, scaledConfig } from "../../model/index.ts"
import { createTrainStep } from "../../train/index.ts"
import { tensorsBeside } from "../../train/optimizers/index.ts"
import { CeilingMeter } from "./ceiling.ts"
import { peakMemoryBytes, resetPeakMemory } from "./machine.ts"
import type { Repeat } from "./repeats.ts"
import type { Report } from "./report.ts"
import { type Spread, spreadOf } from "./statistics.ts"

interface TrainBenchOptions {
  readonly only?: readonly TrainCase[]
  readonly repeat: number
  readonly dtype: "f32" | "bf16"
  readonly checkpointActivations?: boolean
}

export interface TrainCase {
  readonly name: string
  readonly config: ModelConfig
  readonly B: number
  readonly T: number
}

export interface TrainRow {
  readonly model: string
  readonly dtype: string
  readonly parameters: number
  readonly batch: number
  readonly positions: number
  readonly tokensPerSecond: number
  readonly spread: Spread
  /** Multiply-adds of the products and of attention, as a fraction of the rate beside them. */
  readonly flopsFraction: number
  readonly flopsPerSecond: number
  readonly activationBytes: number
  readonly stateBytes: number
  readonly peakMemoryBytes: number
  readonly steps: number
  /** Every repeat, in order. */
  readonly repeats: readonly Repeat[]
}

/** D 256, 4 layers, 2 to 4 heads, feed-forward 256 to 1024. */
const small = (vocabSize: number): ModelConfig =>
  scaledConfig({
    name: `small, V ${vocabSize}`,
    layers: 4,
    modelDim: 256,
    headDim: 64,
    vocabSize,
    queryHeadsPerKeyHead: 1,
    ffnMultipliers: [1, 4],
  })

export const trainCases: readonly TrainCase[] = [
  { name: "small-512", config: small(512), B: 8, T: 128 },
  { name: "small-32000", config: small(32000), B: 8, T: 128 },
  { name: "270M", config: configOf("270M"), B: 1, T: 256 },
]

export async function benchTrain(
  backend: Backend,
  options: TrainBenchOptions,
  report: Report,
): Promise<TrainRow[]> {
  const meter = await CeilingMeter.open(backend)
  const rows: TrainRow[] = []
  for (const each of options.only ?? trainCases)
    rows.push(await measureTraining(each, backend, meter, options, report))
  meter.close()
  return rows
}

/** Random rows of tokens, (B, T). */
export const rowsOf = (
  { vocabSize }: Pick<ModelConfig, "vocabSize">,
  B: number,
  T: number,
  seed: number,
): Int32Array[] =>
  Array.from({ length: B }, (_, b) =>
    Int32Array.from({ length: T }, (_, t) => Math.floor(uniformAt(seed, b, 0, t) * vocabSize)),
  )

async function measureTraining(
  { config, B, T }: TrainCase,
  backend: Backend,
  meter: CeilingMeter,
  { repeat, dtype, checkpointActivations = false }: TrainBenchOptions,
  report: Report,
): Promise<TrainRow> {
  resetPeakMemory()
  report(`${config.name}: weights`)
  const room = tensorsBeside("adamw", dtype)
  const model = await randomModel(config, { backend, dtype, seed: 0 }, { room })
  const step = await createTrainStep(model, { checkpointActivations })
  const [inputs, targets] = [rowsOf(config, B, T, 1), rowsOf(config, B, T, 2)]
  const repeats: { readonly training: number; readonly multiplyAddShare: number }[] = []
  const rates: number[] = []
  const ceilings = meter.over([])
  for (let i = -2; i < repeat; i++) {
    report(`${config.name}: step`, Math.max(0, i) / repeat)
    const before = await ceilings.measure()
    const start = performance.now()
    await step(inputs, targets, { lr: 1e-4 })
    const time = (performance.now() - start) / 1000
    const { flopsPerSecond } = await ceilings.measure()
    if (i < 0) continue
    const rate = (before.flopsPerSecond + flopsPerSecond) / 2
    rates.push(rate)
    const multiplyAddShare = step.state.flops / time / rate
    repeats.push({ training: (B * T) / time, multiplyAddShare })
  }
  const spread = spreadOf(repeats.map(({ training }) => training))
  const row = {
    model: config.name,
    dtype,
    parameters: model.parameters,
    batch: B,
    positions: T,
    tokensPerSecond: spread.median,
    spread,
    flopsFraction: spreadOf(repeats.map(({ multiplyAddShare }) => multiplyAddShare)).median,
    flopsPerSecond: spreadOf(rates).median,
    activationBytes: step.state.activationBytes,
    stateBytes: model.weightBytes + step.state.optimizerBytes,
    peakMemoryBytes: peakMemoryBytes(),
    steps: step.state.planSteps,
    repeats,
  }
  ceilings.close()
  await step.close()
  await model.close()
  return row
}
