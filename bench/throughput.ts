// The paper's throughput protocol (section 4): batch 1, one prompt for all models, key-value cache,
// greedy; a full dry run before the first model, one forward pass before each; medians of repeats.
import type { OpenBackend } from "../backends/index.ts"
import { uniformAt } from "../engine/index.ts"
import {
  configOf,
  type ModelConfig,
  OpenELM,
  parameterCount,
  type WeightDType,
} from "../model/index.ts"
import type { CeilingMeter } from "./ceiling.ts"
import { peakMemoryBytes, resetPeakMemory } from "./machine.ts"
import { type Spread, spreadOf } from "./statistics.ts"

export interface BenchOptions {
  /** A model folder to measure instead of random weights. */
  readonly weights: string | undefined
  readonly dtype: WeightDType
  readonly prompt: number
  readonly generate: number
  readonly repeat: number
  readonly seed: number
}

export interface Row {
  readonly model: string
  readonly backend: string
  readonly dtype: string
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
  readonly bandwidthFraction: number
  readonly flopsFraction: number
  readonly stepsPerToken: number
  readonly weightBytes: number
  readonly peakMemoryBytes: number
  readonly loadMs: number
  readonly firstTokenMs: number
}

/** Says what is being done, and how far it is. */
export type Report = (text: string, fraction?: number) => void

/** Token ids of the prompt: BOS, then seeded ids that every vocabulary has. */
export function promptOf(length: number, { bosId, vocabSize }: ModelConfig): number[] {
  const id = (i: number) =>
    3 + Math.floor(uniformAt(2404, 14619, 0, i) * (Math.min(vocabSize, 32000) - 3))
  return Array.from({ length }, (_, i) => (i === 0 ? bosId : id(i)))
}

interface Timing {
  readonly promptMs: number
  readonly totalMs: number
}

/** Measures one model. `first` asks for the full dry run before it. */
export async function measure(
  name: string,
  backend: OpenBackend,
  options: BenchOptions,
  run: {
    readonly first: boolean
    readonly meter: CeilingMeter
    readonly threads: number
    readonly report: Report
  },
): Promise<Row> {
  const { report, meter } = run
  resetPeakMemory()
  const start = performance.now()
  const model = await load(name, backend, options, report)
  const loadMs = performance.now() - start
  try {
    const prompt = promptOf(options.prompt, model.config)
    if (run.first) {
      report("dry run")
      await time(model, prompt, options.generate)
    }
    const warm = await time(model, prompt, 1)
    const firstTokenMs = loadMs + warm.promptMs
    const timings: Timing[] = []
    for (let i = 0; i < options.repeat; i++) {
      report(`${model.config.name} ${options.dtype}`, i / options.repeat)
      await meter.again(model.weights.embedding)
      timings.push(await time(model, prompt, options.generate))
    }
    await meter.again(model.weights.embedding)
    const { bytesPerSecond, flopsPerSecond } = meter.ceilings
    const row = summarise(model, options, timings)
    const peak = peakMemoryBytes()
    return {
      ...row,
      threads: run.threads,
      loadMs,
      firstTokenMs,
      peakMemoryBytes: peak,
      bandwidthFraction: (bytesPerToken(model) * row.generationTokensPerSecond) / bytesPerSecond,
      flopsFraction:
        (flopsPerToken(model, options.prompt) * row.promptTokensPerSecond) / flopsPerSecond,
    }
  } finally {
    model.close()
  }
}

function load(
  name: string,
  backend: OpenBackend,
  options: BenchOptions,
  report: Report,
): Promise<OpenELM> {
  const { dtype, seed, weights, prompt, generate } = options
  const onProgress = (done: number, total: number) => report("loading", done / total)
  if (weights !== undefined) return OpenELM.load(weights, { backend, dtype, onProgress })
  const config = configOf(name)
  const capacity = Math.min(config.maxContext, prompt + generate)
  return OpenELM.random(config, { backend, dtype, seed, capacity, onProgress })
}

/** One generation through the public interface, as an application sees it. */
async function time(model: OpenELM, prompt: readonly number[], generate: number): Promise<Timing> {
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

function summarise(model: OpenELM, options: BenchOptions, timings: readonly Timing[]) {
  const { prompt, generate } = options
  const rate = (tokens: number, ms: (t: Timing) => number): Spread =>
    spreadOf(timings.map((t) => (1000 * tokens) / ms(t)))
  // The prompt's time includes choosing the first token; the others are the generation.
  const promptSpread = rate(prompt, (t) => t.promptMs)
  const generationSpread = rate(generate - 1, (t) => t.totalMs - t.promptMs)
  const totalSpread = rate(prompt + generate, (t) => t.totalMs)
  return {
    model: model.config.name,
    backend: model.backend.name,
    dtype: model.dtype,
    parameters: parameterCount(model.config),
    promptTokens: prompt,
    generatedTokens: generate,
    promptTokensPerSecond: promptSpread.median,
    generationTokensPerSecond: generationSpread.median,
    totalTokensPerSecond: totalSpread.median,
    promptSpread,
    generationSpread,
    totalSpread,
    stepsPerToken: model.decodePlan.steps.length,
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
