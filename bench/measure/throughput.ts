// The paper's throughput protocol (section 4): batch 1, one prompt for all models, key-value cache,
// greedy; a full dry run before the first model, a forward pass and a step before each; medians of repeats.
import type { OpenBackend } from "../../backends/index.ts"
import { readBound, type Tensor } from "../../engine/index.ts"
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
import { checkFits, type Lengths, promptOf } from "./lengths.ts"
import { peakMemoryBytes, resetPeakMemory } from "./machine.ts"
import { workOf } from "./reads.ts"
import { type Repeat, ratesOf, type Timing } from "./repeats.ts"
import { downloading, type Report } from "./report.ts"
import { type Spread, spreadOf } from "./statistics.ts"

interface ThroughputOptions extends Lengths {
  /** A model folder to measure instead of random weights. */
  readonly weights: string | undefined
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
  readonly bandwidthSpread: Spread
  readonly bytesPerSecond: number
  /** The prompt as a fraction of the multiply-add rate of what is multiplied, floats or bytes, measured beside it. */
  readonly flopsFraction: number
  readonly flopsSpread: Spread
  readonly flopsPerSecond: number
  readonly stepsPerToken: number
  readonly weightBytes: number
  /** Of all that were measured in turns together. */
  readonly peakMemoryBytes: number
  readonly loadMs: number
  /** From the start of loading to the first timed token: weights, dry run, warm-up. */
  readonly readyMs: number
  /** Every repeat, in order. */
  readonly repeats: readonly Repeat[]
  /** Of one token, if they were asked for. */
  readonly steps?: readonly StepRow[]
}

/** What one measurement needs to know of the whole run. */
interface Setting {
  /** The first model gets the full dry run. */
  readonly first: boolean
  readonly meter: CeilingMeter
  readonly report: Report
}

/** A model in one dtype: a released size by name, any other by its config, with seeded weights; or the
 *  folder of the options. */
interface Subject {
  readonly model: string | DecoderConfig
  /** Default f32, or what the folder holds. */
  readonly dtype: WeightDType | undefined
}

/** Measures the machine, then each group of models: those of a group in turns. */
export async function benchThroughput(
  backend: OpenBackend & Described,
  groups: readonly (readonly Subject[])[],
  options: ThroughputOptions,
  report: Report,
): Promise<{ readonly ceilings: Ceilings; readonly rows: readonly ThroughputRow[] }> {
  const meter = await CeilingMeter.open(backend)
  const rows: ThroughputRow[] = []
  try {
    for (const group of groups) {
      const first = rows.length === 0
      rows.push(...(await measure(group, backend, options, { first, meter, report })))
    }
  } finally {
    meter.close()
  }
  return { ceilings: meter.ceilings, rows }
}

/** A model that is measured, and what was found so far. */
interface Opened {
  readonly model: OpenELM
  readonly prompt: readonly number[]
  readonly loadMs: number
  readonly readyMs: number
  readonly samples: TimedRun[]
}

/** Loads the models of a group, measures them in turns, and frees them. */
async function measure(
  group: readonly Subject[],
  backend: OpenBackend & Described,
  options: ThroughputOptions,
  { first, meter, report }: Setting,
): Promise<ThroughputRow[]> {
  const { threads = 1 } = backend
  resetPeakMemory()
  const opened: Opened[] = []
  try {
    for (const subject of group) {
      const isFirst = first && opened.length === 0
      opened.push(await openOne(subject, backend, options, isFirst, report))
    }
    await repeat(opened, options, meter, report)
    const peak = peakMemoryBytes()
    const rows: ThroughputRow[] = []
    for (const each of opened) {
      const { model, loadMs, readyMs } = each
      const measured = { ...summarize(each, options), threads, loadMs, readyMs }
      const row = { ...measured, peakMemoryBytes: peak }
      if (options.explain) report("timing each step")
      const plan = options.explain && internals(model).decodePlan
      rows.push(plan ? { ...row, steps: await explain(backend, plan, row) } : row)
    }
    return rows
  } finally {
    for (const { model } of opened) await model.close()
  }
}

/** Loads a model and warms it up; the very first with a full dry run. */
async function openOne(
  subject: Subject,
  backend: OpenBackend,
  options: ThroughputOptions,
  isFirst: boolean,
  report: Report,
): Promise<Opened> {
  const start = performance.now()
  const model = await load(subject, backend, options, report)
  try {
    // A GPU has them when it gives one back.
    await readBound([...model.tensors.values()].at(-1) as Tensor, backend)
    const loadMs = performance.now() - start
    checkFits(options, model.config)
    const prompt = promptOf(options.prompt, model.config)
    if (isFirst) {
      report("dry run")
      await time(model, prompt, options.generate)
    }
    // A step as well, whose shaders a GPU's driver compiles when they are first needed.
    await time(model, prompt, Math.min(2, options.generate))
    return { model, prompt, loadMs, readyMs: performance.now() - start, samples: [] }
  } catch (error) {
    await model.close()
    throw error
  }
}

/** One timing, and the ceilings of the moment: the mean of just before and just after. */
interface TimedRun extends Timing, Ceilings {}

async function repeat(
  opened: readonly Opened[],
  { repeat, generate }: ThroughputOptions,
  meter: CeilingMeter,
  report: Report,
): Promise<void> {
  const meters = opened.map(({ model }) => {
    const { matrices, factors } = workOf(model)
    return meter.over(matrices, factors)
  })
  try {
    for (let i = 0; i < repeat; i++) {
      for (const [n, { model, prompt, samples }] of opened.entries()) {
        report(`${model.config.name} ${model.dtype}`, i / repeat)
        const ceilings = meters[n] as (typeof meters)[number]
        const before = await ceilings.measure()
        const timing = await time(model, prompt, generate)
        const after = await ceilings.measure()
        const bytesPerSecond = (before.bytesPerSecond + after.bytesPerSecond) / 2
        const flopsPerSecond = (before.flopsPerSecond + after.flopsPerSecond) / 2
        samples.push({ ...timing, bytesPerSecond, flopsPerSecond })
      }
    }
  } finally {
    for (const each of meters) each.close()
  }
}

function load(
  { model, dtype }: Subject,
  backend: OpenBackend,
  options: ThroughputOptions,
  report: Report,
): Promise<OpenELM> {
  const { cache, seed, weights, prompt, generate } = options
  const onProgress = (done: number, total: number) => report("loading", done / total)
  if (weights !== undefined) {
    const loading = { onProgress, ...downloading(report) }
    return OpenELM.load(weights, { backend, dtype, cache, ...loading })
  }
  const config = typeof model === "string" ? publishedConfig(model) : model
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

function summarize({ model, samples }: Opened, lengths: ThroughputOptions) {
  const { prompt, generate } = lengths
  const work = workOf(model)
  const flops = work.promptFlops(prompt) / prompt
  const repeats = samples.map((sample) => {
    const rates = ratesOf(sample, lengths)
    return {
      ...rates,
      bandwidthShare: (work.bytes * rates.generation) / sample.bytesPerSecond,
      multiplyAddShare: (flops * rates.prompt) / sample.flopsPerSecond,
    }
  })
  const spread = (name: keyof (typeof repeats)[number]): Spread =>
    spreadOf(repeats.map((rates) => rates[name]))
  const [promptSpread, generationSpread] = [spread("prompt"), spread("generation")]
  const [bandwidthSpread, flopsSpread] = [spread("bandwidthShare"), spread("multiplyAddShare")]
  const totalSpread = spread("total")
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
    bandwidthFraction: bandwidthSpread.median,
    bandwidthSpread,
    flopsFraction: flopsSpread.median,
    flopsSpread,
    bytesPerSecond: spreadOf(samples.map((s) => s.bytesPerSecond)).median,
    flopsPerSecond: spreadOf(samples.map((s) => s.flopsPerSecond)).median,
    stepsPerToken: internals(model).decodePlan.steps.length,
    weightBytes: model.weightBytes,
    repeats,
  }
}
