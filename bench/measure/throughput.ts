// The paper's throughput protocol (section 4): batch 1, one prompt for all models, key-value cache,
// greedy; a full dry run before the first model, one forward pass before each; medians of repeats.
import type { OpenBackend } from "../../backends/index.ts"
import { readBound, type Tensor, uniformAt } from "../../engine/index.ts"
import {
  type CacheDType,
  type DecoderConfig,
  internals,
  OpenELM,
  parameterCount,
  publishedConfig,
  type WeightDType,
} from "../../model/index.ts"
import { CeilingMeter, type Ceilings } from "./ceiling.ts"
import type { Described } from "./described.ts"
import { explain, explainRounds, type StepRow } from "./explain.ts"
import { peakMemoryBytes, resetPeakMemory } from "./machine.ts"
import { downloading, type Report } from "./report.ts"
import { type Spread, spreadOf } from "./statistics.ts"

interface ThroughputOptions extends Lengths {
  /** A model folder to measure instead of random weights. */
  readonly weights: string | undefined
  /** Default f32, or what the folder holds. */
  readonly dtype: WeightDType | undefined
  /** How the key-value cache is kept. */
  readonly cache: CacheDType
  readonly repeat: number
  readonly seed: number
}

export interface ThroughputRow {
  readonly model: string
  readonly backend: string
  readonly dtype: string
  readonly cache: string
  readonly threads: number
  readonly parameters: number
  readonly promptTokens: number
  readonly generatedTokens: number
  readonly promptTokensPerSecond: number
  readonly generationTokensPerSecond: number
  readonly totalTokensPerSecond: number
  readonly promptSpread: Spread
  readonly generationSpread: Spread
  readonly totalSpread: Spread
  /** Generation as a fraction of reading the weights at the speed of memory, measured beside it. */
  readonly bandwidthFraction: number
  readonly bytesPerSecond: number
  /** The prompt as a fraction of the multiply-add rate, measured beside it. */
  readonly flopsFraction: number
  readonly flopsPerSecond: number
  readonly stepsPerToken: number
  readonly weightBytes: number
  readonly peakMemoryBytes: number
  readonly loadMs: number
  /** From the start of loading to the first timed token: weights, dry run, warm-up. */
  readonly readyMs: number
  /** Of one token, if they were asked for. */
  readonly steps?: readonly StepRow[]
}

/** A rate of generation takes two tokens: the first is the prompt's. */
export const leastGenerated = 2

/** Token ids of the prompt: BOS, then seeded ids that every vocabulary has. */
export function promptOf(length: number, { bosId = 0, vocabSize }: DecoderConfig): number[] {
  const id = (i: number) =>
    3 + Math.floor(uniformAt(2404, 14619, 0, i) * (Math.min(vocabSize, 32000) - 3))
  return Array.from({ length }, (_, i) => (i === 0 ? bosId : id(i)))
}

interface Timing {
  readonly promptMs: number
  readonly totalMs: number
}

/** What one measurement needs to know of the whole run. */
interface Setting {
  /** The first model gets the full dry run. */
  readonly first: boolean
  readonly meter: CeilingMeter
  readonly report: Report
}

export interface Lengths {
  readonly prompt: number
  readonly generate: number
  /** Lists the steps of a token too, for which the cache needs more places. */
  readonly explain?: boolean
}

/** The nearest lengths that a model's context holds, where it does not hold these. */
export function nearestFit(
  { prompt, generate, explain = false }: Lengths,
  { maxContext }: DecoderConfig,
): Lengths | undefined {
  const room = maxContext - (explain ? explainRounds : 0)
  const left = room - prompt
  if (generate <= left) return undefined
  if (left >= leastGenerated) return { prompt, generate: left }
  // Where the prompt leaves no room for a rate, less of it is the way out.
  const generated = room > generate ? generate : leastGenerated
  return { prompt: room - generated, generate: generated }
}

/** Throws RangeError where the context holds less: a step run beyond the end of the cache would write
 *  over other memory. */
function checkFits(lengths: Lengths, config: DecoderConfig): void {
  const nearest = nearestFit(lengths, config)
  if (!nearest) return
  throw new RangeError(
    `the context of ${config.name} holds ${config.maxContext} tokens, not a prompt of ${lengths.prompt} ` +
      `and ${lengths.generate} after it. Use ${nearest.prompt} and ${nearest.generate} or less`,
  )
}

/** Measures the machine, then each model: released sizes by name, or the folder of the options. */
export async function benchThroughput(
  backend: OpenBackend & Described,
  names: readonly string[],
  options: ThroughputOptions,
  report: Report,
): Promise<{ readonly ceilings: Ceilings; readonly rows: readonly ThroughputRow[] }> {
  const meter = await CeilingMeter.open(backend)
  const rows: ThroughputRow[] = []
  try {
    for (const name of names) {
      const first = rows.length === 0
      rows.push(await measure(name, backend, options, { first, meter, report }))
    }
  } finally {
    meter.close()
  }
  return { ceilings: meter.ceilings, rows }
}

/** Loads one model, measures it, and frees it. */
async function measure(
  name: string,
  backend: OpenBackend & Described,
  options: ThroughputOptions,
  setting: Setting,
): Promise<ThroughputRow> {
  const { report } = setting
  const { threads = 1 } = backend
  resetPeakMemory()
  const start = performance.now()
  const model = await load(name, backend, options, report)
  // A GPU has them when it gives one back.
  await readBound([...model.tensors.values()].at(-1) as Tensor, backend)
  const loadMs = performance.now() - start
  try {
    checkFits(options, model.config)
    const prompt = promptOf(options.prompt, model.config)
    const begun = performance.now()
    if (setting.first) {
      report("dry run")
      await time(model, prompt, options.generate)
    }
    await time(model, prompt, 1)
    const readyMs = loadMs + performance.now() - begun
    const samples = await repeat(model, prompt, options, setting)
    const row = { ...summarize(model, options, samples), threads, loadMs, readyMs }
    const measured = { ...row, peakMemoryBytes: peakMemoryBytes() }
    if (!options.explain) return measured
    report("timing each step")
    return { ...measured, steps: await explain(backend, internals(model).decodePlan, measured) }
  } finally {
    await model.close()
  }
}

/** One timing, and the ceilings of the moment: the mean of just before and just after. */
interface TimedRun extends Timing, Ceilings {}

async function repeat(
  model: OpenELM,
  prompt: readonly number[],
  options: ThroughputOptions,
  { meter, report }: Setting,
): Promise<TimedRun[]> {
  const ceilings = meter.over(matricesOf(model))
  const samples: TimedRun[] = []
  let before = await ceilings.measure()
  for (let i = 0; i < options.repeat; i++) {
    report(`${model.config.name} ${model.dtype}`, i / options.repeat)
    const timing = await time(model, prompt, options.generate)
    const after = await ceilings.measure()
    const bytesPerSecond = (before.bytesPerSecond + after.bytesPerSecond) / 2
    const flopsPerSecond = (before.flopsPerSecond + after.flopsPerSecond) / 2
    samples.push({ ...timing, bytesPerSecond, flopsPerSecond })
    before = after
  }
  ceilings.close()
  return samples
}

/** Weights that are read whole for every token. */
const matricesOf = ({ tensors }: OpenELM): Tensor[] =>
  [...tensors.values()].filter(({ shape }) => shape.length > 1)

function load(
  name: string,
  backend: OpenBackend,
  options: ThroughputOptions,
  report: Report,
): Promise<OpenELM> {
  const { dtype, cache, seed, weights, prompt, generate } = options
  const onProgress = (done: number, total: number) => report("loading", done / total)
  if (weights !== undefined) {
    const loading = { onProgress, ...downloading(report) }
    return OpenELM.load(weights, { backend, dtype, cache, ...loading })
  }
  const config = publishedConfig(name)
  const rounds = options.explain ? explainRounds : 0
  const capacity = Math.min(config.maxContext, prompt + generate + rounds)
  return OpenELM.random(config, { backend, dtype, cache, seed, capacity, onProgress })
}

/** One generation through the public interface, as an application sees it. */
export async function time(
  model: OpenELM,
  prompt: readonly number[],
  generate: number,
): Promise<Timing> {
  const start = performance.now()
  let promptMs = 0
  for await (const _ of model.generate(prompt, {
    maxNewTokens: generate,
    temperature: 0,
    stop: [],
  })) {
    if (promptMs === 0) promptMs = performance.now() - start
  }
  return { promptMs, totalMs: performance.now() - start }
}

function summarize(model: OpenELM, options: ThroughputOptions, samples: readonly TimedRun[]) {
  const { prompt, generate } = options
  const spread = (of: (sample: TimedRun) => number): Spread => spreadOf(samples.map(of))
  // The prompt's time includes choosing the first token; the others are the generation.
  const promptRate = (s: TimedRun): number => (1000 * prompt) / s.promptMs
  const generationRate = (s: TimedRun): number => (1000 * (generate - 1)) / (s.totalMs - s.promptMs)
  const promptSpread = spread(promptRate)
  const generationSpread = spread(generationRate)
  const totalSpread = spread((s) => (1000 * (prompt + generate)) / s.totalMs)
  const [bytes, flops] = [bytesPerToken(model), flopsPerToken(model, prompt)]
  return {
    model: model.config.name,
    backend: model.backend.name,
    dtype: model.dtype,
    cache: model.cache,
    parameters: parameterCount(model.config),
    promptTokens: prompt,
    generatedTokens: generate,
    promptTokensPerSecond: promptSpread.median,
    generationTokensPerSecond: generationSpread.median,
    totalTokensPerSecond: totalSpread.median,
    promptSpread,
    generationSpread,
    totalSpread,
    bandwidthFraction: spread((s) => (bytes * generationRate(s)) / s.bytesPerSecond).median,
    flopsFraction: spread((s) => (flops * promptRate(s)) / s.flopsPerSecond).median,
    bytesPerSecond: spread((s) => s.bytesPerSecond).median,
    flopsPerSecond: spread((s) => s.flopsPerSecond).median,
    stepsPerToken: internals(model).decodePlan.steps.length,
    weightBytes: model.weightBytes,
  }
}

/** Weight bytes that one decoded token has to read: all but the table of angles. */
const bytesPerToken = ({ weightBytes, config }: OpenELM): number =>
  weightBytes - 4 * config.maxContext * config.headDim

/** Multiply-adds of the products, times two, per prompt token; the head sees the last one only. */
function flopsPerToken({ config, parameters }: OpenELM, promptTokens: number): number {
  const table = config.vocabSize * config.modelDim
  return 2 * (parameters - table + table / promptTokens)
}
