// `elm bench sweep`: what layer-wise scaling buys. Models of one budget of parameters whose heads (α) and
// feed-forward networks (β) grow from the first layer to the last in several ways, uniform ones among
// them: their throughput, in turns where memory holds them together, and what they learn of a text.
import { join } from "node:path"
import type { OpenBackend } from "../../backends/index.ts"
import {
  type CacheDType,
  type ConfigSpec,
  inTemporaryFolder,
  type ModelConfig,
  parameterCount,
  scaledConfig,
  tensorShapes,
  type WeightDType,
} from "../../model/index.ts"
import { train, trainingSettings } from "../../train/index.ts"
import type { Described } from "./described.ts"
import { misfit } from "./fits.ts"
import type { Report } from "./report.ts"
import { benchThroughput, type ThroughputRow } from "./throughput.ts"

/** Of the first layer and the last. */
export type Range = readonly [first: number, last: number]

/** A text to learn, and how long. */
interface SweepTraining {
  readonly tokens: number
  readonly source: string
  readonly validation: string
  readonly tokenizer: string
}

interface Grid {
  /** Layers, heads and vocabulary; its width is what the budget allows. */
  readonly base: ConfigSpec
  readonly parameters: number
  readonly alpha: readonly Range[]
  readonly beta: readonly Range[]
}

export interface SweepOptions extends Grid {
  readonly dtype: WeightDType
  readonly cache: CacheDType
  readonly prompt: number
  readonly generate: number
  readonly repeat: number
  readonly training?: SweepTraining | undefined
}

export interface SweepRow extends ThroughputRow {
  readonly alpha: Range
  readonly beta: Range
  readonly modelDim: number
  /** Of each layer, without the table of the vocabulary. */
  readonly layerParameters: readonly number[]
  /** Cross-entropy of the validation text after the training's tokens, in nats a token. */
  readonly loss?: number
}

/** Widths are multiples of this. */
const widthStep = 8
const mostWidth = 65536

const rangeText = ([first, last]: Range): string =>
  first === last ? String(first) : `${first}–${last}`

/** Steps of the width around a first guess: heads and networks grow in steps of their own, so that the
 *  nearest count may lie some widths off. */
const around = 16

/** A config of about as many parameters: the width that comes nearest. Throws RangeError where that has
 *  less than half or more than twice as many. */
export function configOfBudget(
  base: ConfigSpec,
  parameters: number,
  alpha: Range,
  beta: Range,
): ModelConfig {
  const name = `α ${rangeText(alpha)}, β ${rangeText(beta)}`
  const spec = { ...base, name, qkvMultipliers: alpha, ffnMultipliers: beta }
  const of = (steps: number) => scaledConfig({ ...spec, modelDim: steps * widthStep })
  let [low, high] = [1, mostWidth / widthStep]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (parameterCount(of(middle)) < parameters) low = middle + 1
    else high = middle
  }
  const distance = (steps: number): number =>
    Math.abs(Math.log(parameterCount(of(steps)) / parameters))
  const near = Array.from({ length: 2 * around + 1 }, (_, i) => low - around + i)
  const best = near
    .filter((steps) => steps >= 1)
    .reduce((best, steps) => (distance(steps) < distance(best) ? steps : best), low)
  if (distance(best) < Math.log(2)) return of(best)
  throw new RangeError(
    `${parameters} parameters are not to be had with ${base.layers} layers and a vocabulary of ` +
      `${of(1).vocabSize}: width ${best * widthStep} has ${parameterCount(of(best))}. ` +
      "Give another --parameters, --layers or --vocab-size",
  )
}

/** Parameters of each layer. */
function layerParameters(config: ModelConfig): number[] {
  const counts = new Array<number>(config.layers).fill(0)
  for (const [name, { shape }] of tensorShapes(config)) {
    const layer = /\blayers\.(\d+)\./.exec(name)?.[1]
    if (layer === undefined) continue
    counts[Number(layer)] = (counts[Number(layer)] ?? 0) + shape.reduce((a, b) => a * b, 1)
  }
  return counts
}

/** Every pair of the two grids. */
export function sweepConfigs({ base, parameters, alpha, beta }: Grid): ModelConfig[] {
  return alpha.flatMap((a) => beta.map((b) => configOfBudget(base, parameters, a, b)))
}

export async function benchSweep(
  backend: OpenBackend & Described,
  options: SweepOptions,
  report: Report,
): Promise<SweepRow[]> {
  const { dtype, training } = options
  const configs = sweepConfigs(options)
  const subjects = configs.map((config) => ({ model: config, config, dtype }))
  // In turns if they fit together.
  const groups = misfit(subjects) ? subjects.map((each) => [each]) : [subjects]
  const more = { weights: undefined, seed: 0 }
  const { rows } = await benchThroughput(backend, groups, { ...options, ...more }, report)
  const swept: SweepRow[] = []
  for (const [i, row] of rows.entries()) {
    const config = configs[i] as ModelConfig
    const { qkvMultipliers, ffnMultipliers, modelDim } = config
    const learnt = training && (await lossOf(config, training, backend, report))
    swept.push({
      ...row,
      alpha: qkvMultipliers as Range,
      beta: ffnMultipliers as Range,
      modelDim,
      layerParameters: layerParameters(config),
      ...(learnt === undefined ? {} : { loss: learnt }),
    })
  }
  return swept
}

const [sequenceLength, batchSize] = [256, 8] as const

/** Updates that read as many tokens, at least one. */
const updatesOf = (tokens: number): number =>
  Math.max(1, Math.round(tokens / (sequenceLength * batchSize)))

/** Cross-entropy of the validation text after training on so many tokens, the same for all. */
const lossOf = (
  config: ModelConfig,
  training: SweepTraining,
  backend: OpenBackend,
  report: Report,
): Promise<number> =>
  inTemporaryFolder("elm-sweep-", async (folder) => {
    const settings = await settingsOf(config, training, join(folder, "run"))
    const { lastEvaluation } = await train(settings, {
      backend,
      onMetrics: ({ step }) => report(`${config.name}: training`, step / settings.steps),
    })
    if (lastEvaluation) return lastEvaluation.validation_loss
    throw new Error(`${training.validation} is too short: no sample of ${sequenceLength} tokens`)
  })

function settingsOf(
  config: ModelConfig,
  { tokens, source, validation, tokenizer }: SweepTraining,
  out: string,
) {
  const steps = updatesOf(tokens)
  return trainingSettings({
    ...{ layers: config.layers, dim: config.modelDim, headDim: config.headDim },
    ...{ alpha: config.qkvMultipliers, beta: config.ffnMultipliers },
    ...{ ffnDivisor: config.ffnDivisor, queriesPerKey: config.queryHeadsPerKeyHead },
    vocabSize: config.vocabSize,
    data: {
      ...{ sources: [source], validation: [validation] },
      ...{ normalization: "none", pack: true, shuffleWindows: 8192 },
    },
    ...{ tokenizer, sequenceLength, batchSize, steps, lr: 0.004, out },
    ...{ warmupSteps: Math.floor(steps / 20), evalEvery: steps, sampleEvery: 0, saveEvery: 0 },
  })
}
