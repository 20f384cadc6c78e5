// How a model's speed goes with threads, with the length of its context and with the sequences of a batch:
// measured for the report's charts, and kept like the tables' rows.
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { OpenBackend } from "../../backends/index.ts"
import {
  type DecoderConfig,
  LanguageModel,
  type WeightDType,
  writeFileWhole,
} from "../../model/index.ts"
import { isObject, parseJson } from "../../model/json.ts"
import type { Chart } from "../../train/run/chart.ts"
import type { Described } from "../measure/described.ts"
import { promptOf } from "../measure/lengths.ts"
import { machine } from "../measure/machine.ts"
import { ratesOf } from "../measure/repeats.ts"
import type { Report } from "../measure/report.ts"
import { spreadOf } from "../measure/statistics.ts"
import { time } from "../measure/throughput.ts"
import { paperPromptTokens, type Throughput } from "./paper.ts"

export interface MeasuredChart {
  readonly model: string
  readonly dtype: string
  readonly chart: Chart
}

/** What is drawn: one model, on a backend of any number of threads. */
interface ChartSubject {
  readonly config: DecoderConfig
  readonly dtype: WeightDType
  /** Threads at most. */
  readonly threads: number
  open(threads: number): Promise<OpenBackend & Described>
}

interface ChartOptions {
  readonly repeat: number
  readonly folder: string
  /** Measures what is kept too. */
  readonly again?: boolean | undefined
}

/** Tokens generated at each point: enough for a rate. */
const generate = 12
/** Sequences side by side. */
const batches = [1, 2, 4, 8, 16]
/** Lengths of prompts, as far as a context holds them; and the longest that it does. */
const contexts = [paperPromptTokens, 128, 256, 512, 1024]

/** 1, 2, 4 … and the last itself. */
const doublings = (last: number): number[] => {
  const found: number[] = []
  for (let n = 1; n < last; n *= 2) found.push(n)
  return [...found, last]
}

/** The charts of a folder, where they are of this subject, machine and protocol; else undefined. Throws
 *  SyntaxError for a file that is not JSON. */
export function keptCharts(
  subject: ChartSubject,
  options: ChartOptions,
): readonly MeasuredChart[] | undefined {
  const path = pathOf(subject, options)
  if (!existsSync(path)) return undefined
  const kept = parseJson(readFileSync(path), path)
  if (!isObject(kept) || JSON.stringify(kept.key) !== JSON.stringify(keyOf(subject, options))) {
    return undefined
  }
  return kept.charts as readonly MeasuredChart[]
}

const pathOf = ({ config, dtype }: ChartSubject, { folder }: ChartOptions): string =>
  join(folder, `charts-${config.name}-${dtype}.json`)

const keyOf = ({ config, dtype, threads }: ChartSubject, { repeat }: ChartOptions) => ({
  ...{ schema: "elm-bench-charts/1", model: config.name, dtype, threads, repeat, generate },
  ...{ cpu: machine().cpu, runtime: machine().runtime },
})

/** Measures the charts that are not kept, and keeps them. */
export async function measureCharts(
  subject: ChartSubject,
  options: ChartOptions,
  report: Report,
): Promise<readonly MeasuredChart[]> {
  const kept = options.again ? undefined : keptCharts(subject, options)
  if (kept) return kept
  const { config, dtype } = subject
  const drawn = [
    ...(await byThreads(subject, options, report)),
    ...(await byLength(subject, options, report)),
  ]
  const charts = drawn.map((chart) => ({ model: config.name, dtype, chart }))
  const text = `${JSON.stringify({ key: keyOf(subject, options), charts }, null, 2)}\n`
  await writeFileWhole(pathOf(subject, options), new TextEncoder().encode(text))
  return charts
}

/** Median rates of a prompt and what follows it. */
async function ratesAt(
  model: LanguageModel,
  prompt: number,
  repeat: number,
): Promise<Pick<Throughput, "prompt" | "generation">> {
  const ids = promptOf(prompt, model.config)
  await time(model, ids, generate)
  const found: Throughput[] = []
  for (let i = 0; i < repeat; i++) {
    found.push(ratesOf(await time(model, ids, generate), { prompt, generate }))
  }
  const median = (name: keyof Throughput) => spreadOf(found.map((rates) => rates[name])).median
  return { prompt: median("prompt"), generation: median("generation") }
}

/** Times one thread's speed. */
async function byThreads(
  { config, dtype, threads, open }: ChartSubject,
  { repeat }: ChartOptions,
  report: Report,
): Promise<Chart[]> {
  const points: [threads: number, rates: Awaited<ReturnType<typeof ratesAt>>][] = []
  for (const count of doublings(threads)) {
    report(`${config.name} ${dtype}: threads`, count / threads)
    await using backend = await open(count)
    const capacity = paperPromptTokens + generate
    await using model = await LanguageModel.random(config, { backend, dtype, capacity })
    points.push([count, await ratesAt(model, paperPromptTokens, repeat)])
  }
  const first = points[0]?.[1]
  const series = (["prompt", "generation"] as const).map((name) => ({
    name,
    marked: true,
    points: points.map(([x, rates]) => [x, rates[name] / (first?.[name] ?? 1)] as const),
  }))
  return [{ title: "speed by threads", x: "threads", y: "times one thread's speed", series }]
}

/** By the length of the prompt, of the context before a token, and by sequences side by side. */
async function byLength(
  { config, dtype, threads, open }: ChartSubject,
  { repeat }: ChartOptions,
  report: Report,
): Promise<Chart[]> {
  await using backend = await open(threads)
  await using model = await LanguageModel.random(config, { backend, dtype })
  const longest = config.maxContext - generate
  const lengths = [...contexts.filter((length) => length < longest), longest]
  const found: [length: number, rates: Awaited<ReturnType<typeof ratesAt>>][] = []
  for (const length of lengths) {
    report(`${config.name} ${dtype}: context`, length / longest)
    found.push([length, await ratesAt(model, length, repeat)])
  }
  const line = (name: "prompt" | "generation", title: string, x: string): Chart => {
    const points = found.map(([length, rates]) => [length, rates[name]] as const)
    return { title, x, y: "tokens per second", series: [{ name, marked: true, points }] }
  }
  return [
    line("prompt", "prompt by its length", "tokens of the prompt"),
    line("generation", "generation by what is before it", "tokens before"),
    await byBatch(model, repeat, report),
  ]
}

async function byBatch(model: LanguageModel, repeat: number, report: Report): Promise<Chart> {
  const points: [sequences: number, rate: number][] = []
  for (const count of batches) {
    report(`${model.config.name} ${model.dtype}: batch`, count / (batches.at(-1) as number))
    const rates: number[] = []
    await batchMs(model, count, generate)
    while (rates.length < repeat) {
      const first = await batchMs(model, count, 1)
      const rest = (await batchMs(model, count, generate)) - first
      // A busy machine may have taken longer for one token than for all: that says nothing.
      if (rest > 0) rates.push((1000 * count * (generate - 1)) / rest)
    }
    points.push([count, spreadOf(rates).median])
  }
  const series = [{ name: "generation", marked: true, points }]
  const y = "tokens per second, of all"
  return { title: "generation by sequences side by side", x: "sequences", y, series }
}

async function batchMs(model: LanguageModel, count: number, tokens: number): Promise<number> {
  const prompts = Array.from({ length: count }, () => promptOf(paperPromptTokens, model.config))
  const start = performance.now()
  const options = { maxNewTokens: tokens, temperature: 0, stop: [], batchSize: count }
  await model.complete(prompts, options)
  return performance.now() - start
}
