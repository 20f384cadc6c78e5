// `elm bench norms`: the paper's table 8 on this machine. One set of weights, its norms run in every
// way, measured in turns; and a model of OLMo's shape with LayerNorm and with naive RMSNorm.
import type { OpenBackend } from "../../backends/index.ts"
import type { Plan } from "../../engine/index.ts"
import {
  type DecoderConfig,
  internals,
  LanguageModel,
  publishedConfig,
  type WeightDType,
} from "../../model/index.ts"
import type { Throughput } from "../tables/paper.ts"
import { promptOf } from "./lengths.ts"
import { type NormKind, recorderWith } from "./norm_kinds.ts"
import { type Repeat, ratesOf, type Timing } from "./repeats.ts"
import type { Report } from "./report.ts"
import { spreadOf } from "./statistics.ts"
import { time } from "./throughput.ts"

interface NormOptions {
  readonly model: readonly string[]
  readonly dtype: WeightDType
  readonly prompt: number
  readonly generate: number
  readonly repeat: number
}

interface Subject {
  readonly config: DecoderConfig
  readonly kinds: readonly NormKind[]
}

export interface NormRow {
  readonly model: string
  readonly norm: NormKind
  readonly normsPerToken: number
  readonly stepsPerToken: number
  readonly promptTokensPerSecond: number
  readonly generationTokensPerSecond: number
  readonly totalTokensPerSecond: number
  /** Medians over the repeats of this variant's rate over that of the first, in the same repeat. */
  readonly promptRatio: number
  readonly generationRatio: number
  /** Time of a token beyond that of the first variant: what the norms cost. */
  readonly normMicroseconds: number
  /** Every repeat, in order. */
  readonly repeats: readonly Repeat[]
}

const normsIn = ({ steps }: Plan): number => steps.reduce((sum, { op }) => sum + op.norms, 0)

/** From the limit on, which the others are held against. */
const all: readonly NormKind[] = ["none", "layerNorm", "naive", "fused", "added", "folded"]

export async function benchNorms(
  backend: OpenBackend,
  options: NormOptions,
  report: Report,
): Promise<NormRow[]> {
  const subjects: Subject[] = options.model.map((name) => ({
    config: publishedConfig(name),
    kinds: all,
  }))
  subjects.push({ config: publishedConfig("OLMo-1.18B"), kinds: ["none", "layerNorm", "naive"] })
  const rows: NormRow[] = []
  for (const subject of subjects)
    rows.push(...(await compareNorms(subject, backend, options, report)))
  return rows
}

/** One model with its norms run in each way, in turns; the first is what the others are held against. */
export async function compareNorms(
  { config, kinds }: Subject,
  backend: OpenBackend,
  { dtype, prompt, generate, repeat }: Omit<NormOptions, "model">,
  report: Report,
): Promise<NormRow[]> {
  report(`loading ${config.name}`)
  const capacity = prompt + generate
  await using model = await LanguageModel.random(config, { backend, dtype, capacity })
  const variants = kinds.map((kind) => internals(model).variant(recorderWith(kind)))
  const ids = promptOf(prompt, config)
  const timings = variants.map((): Timing[] => [])
  for (const variant of variants) await time(variant, ids, generate)
  for (let i = 0; i < repeat; i++) {
    for (const [v, variant] of variants.entries()) {
      report(`${config.name} ${kinds[v]}`, i / repeat)
      timings[v]?.push(await time(variant, ids, generate))
    }
  }
  const repeats = timings.map((own) => own.map((timing) => ratesOf(timing, { prompt, generate })))
  return variants.map((variant, v) => {
    const [own, first] = [repeats[v] ?? [], repeats[0] ?? []]
    const median = (of: (own: Throughput, first: Throughput) => number): number =>
      spreadOf(own.map((rates, i) => of(rates, first[i] as Throughput))).median
    return {
      model: `${config.name} ${dtype}`,
      norm: kinds[v] as NormKind,
      normsPerToken: normsIn(internals(variant).decodePlan),
      stepsPerToken: internals(variant).decodePlan.steps.length,
      promptTokensPerSecond: median((own) => own.prompt),
      generationTokensPerSecond: median((own) => own.generation),
      totalTokensPerSecond: median((own) => own.total),
      promptRatio: median((own, first) => own.prompt / first.prompt),
      generationRatio: median((own, first) => own.generation / first.generation),
      normMicroseconds: median((own, first) => 1e6 / own.generation - 1e6 / first.generation),
      repeats: own.map((rates) => ({ ...rates })),
    }
  })
}
