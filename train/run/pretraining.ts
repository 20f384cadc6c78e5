// What `elm train` repeats: samples of text, the step of a model's weights, cross-entropy of text that is
// held out.
import { fromNode } from "../../engine/node.ts"
import type { LanguageModel, Tokenizer } from "../../model/index.ts"
import type { Sample } from "../data/index.ts"
import { alone, type Communicator } from "../parallel/communicator.ts"
import { sharedNumbers } from "../parallel/share.ts"
import type { StepResult } from "../step/shared.ts"
import { TrainStep } from "../step/step.ts"
import { restoreStep } from "./checkpoint.ts"
import type { Settings } from "./fields.ts"
import type { EvaluationMetrics } from "./metrics.ts"
import {
  dataSection,
  modelOf,
  sampleOf,
  stepOptions,
  tokenizerOf,
  validationSamples,
} from "./parts.ts"
import { aboutRanks, sharedOut } from "./ranks.ts"
import type { RunOptions } from "./run.ts"
import { learningRate, scheduleOf } from "./schedule.ts"
import { ShardedSamples } from "./shards.ts"
import { pretrainingState, type RunState } from "./state.ts"
import { withWholeModel } from "./whole.ts"
import type { Resumed, RunKind, Updated, Work } from "./work.ts"

/** Training of a model from text. */
export const pretraining: RunKind<Settings> = {
  ...pretrainingState,
  sharedOut,
  // Absolute, so that a run which is moved with its data finds it.
  toWrite: (settings) => ({ ...settings, out: fromNode("node:path").resolve(settings.out) }),
  open: (settings, options, from) => Pretraining.open(settings, options, from),
}

class Pretraining implements Work {
  readonly about: readonly string[]
  readonly model: LanguageModel
  readonly tokenizer: Tokenizer
  readonly step: TrainStep
  readonly steps: number
  readonly #settings: Settings
  readonly #ranks: Communicator
  readonly #data: ShardedSamples
  readonly #samples: readonly Sample[]
  #result: StepResult | undefined

  private constructor(settings: Settings, parts: Parts) {
    this.#settings = settings
    this.steps = settings.steps
    this.model = parts.model
    this.tokenizer = parts.tokenizer
    this.step = parts.step
    this.#ranks = parts.ranks
    this.about = aboutRanks(settings, parts.ranks)
    this.#data = parts.data
    this.#samples = parts.samples
  }

  static async open(
    settings: Settings,
    { backend, onSkip, onDownload, ranks = alone }: RunOptions,
    from: Resumed<Settings> | undefined,
  ): Promise<Pretraining> {
    const dataOptions = await dataSection(settings)
    const { checkpoint, state } = from ?? {}
    const tokenizer = await tokenizerOf(settings, dataOptions, checkpoint, { onDownload })
    checkSteps(settings, state?.step ?? 0)
    const model = await modelOf(settings, tokenizer, backend, checkpoint, { onDownload, ranks })
    let step: TrainStep | undefined
    try {
      step = await TrainStep.create(model, stepOptions(settings, tokenizer, ranks))
      if (from) await restoreStep(from.checkpoint, step, from.state)
      const resumed = from ? placeOf(from.checkpoint, from.state) : {}
      const data = new ShardedSamples(dataOptions, {
        ...sharesOf(settings),
        ...{ ranks, tokenizer, ...resumed, ...(onSkip && { onSkip }) },
      })
      const samples = await validationSamples(settings, dataOptions, tokenizer)
      return new Pretraining(settings, { ranks, model, tokenizer, step, data, samples })
    } catch (error) {
      await step?.close()
      await model.close()
      throw error
    }
  }

  get validation(): number {
    return this.#samples.length
  }

  async update(): Promise<Updated> {
    const { batchSize, sequenceLength } = this.#settings
    const samples = await this.#data.next(this.step.steps)
    const lr = learningRate(scheduleOf(this.#settings), this.step.steps)
    const start = performance.now()
    const { inputs, targets, starts } = batchOf(samples)
    this.#result = await this.step.run(inputs, targets, starts ? { lr, starts } : { lr })
    const ms = performance.now() - start
    const { gradNorm, counted } = this.#result
    return { lr, gradNorm, positions: batchSize * sequenceLength, counted, ms }
  }

  report() {
    const { loss, ce, z } = this.#result as StepResult
    return { loss, ce, z }
  }

  async evaluate(): Promise<EvaluationMetrics | undefined> {
    const { batchSize } = this.#settings
    const batches = Math.ceil(this.#samples.length / batchSize)
    const idle = () => this.step.accompany()
    const all = await sharedNumbers(this.#ranks, { count: batches, width: 2, idle }, async (n) => {
      const { inputs, targets, starts } = batchOf(
        this.#samples.slice(n * batchSize, (n + 1) * batchSize),
      )
      const { ce, count } = await this.step.evaluate(inputs, targets, starts)
      return count > 0 ? [ce, count] : []
    })
    let [sum, count] = [0, 0]
    for (const [ce = 0, targets = 0] of all) {
      sum += ce * targets
      count += targets
    }
    if (count === 0) return undefined
    return {
      step: this.step.steps,
      validation_loss: sum / count,
      validation_perplexity: Math.exp(sum / count),
      validation_tokens: count,
    }
  }

  sample(): Promise<string | undefined> {
    return withWholeModel(this.step, this.tokenizer, (model) =>
      sampleOf(this.#settings, model, this.tokenizer, this.step.steps),
    )
  }

  place() {
    return this.#data.place()
  }

  async close(): Promise<void> {
    await this.#data.close()
    await this.step.close()
    await this.model.close()
  }
}

interface Parts {
  readonly ranks: Communicator
  readonly model: LanguageModel
  readonly tokenizer: Tokenizer
  readonly step: TrainStep
  readonly data: ShardedSamples
  readonly samples: readonly Sample[]
}

/** Where the data of a run goes on. */
function placeOf(checkpoint: string, { data }: RunState) {
  const path = fromNode("node:path").join(checkpoint, "state.json")
  if (data) return { place: data, placeName: `${path}: state` }
  throw new SyntaxError(`${path}: data is null, expected the place in the data`)
}

/** How the samples of an update are cut. */
const sharesOf = ({ shards = 1, accumulation, batchSize }: Settings) => ({
  ...{ shards, accumulation, rows: batchSize / accumulation },
})

/** A run may be given more updates than it was begun with, or fewer, but not less than it has made. */
function checkSteps({ steps }: Settings, made: number): void {
  if (steps >= made) return
  throw new RangeError(`steps is ${steps}, and the run has made ${made} updates. Give more`)
}

function batchOf(samples: readonly Sample[]) {
  const starts = samples.flatMap((s) => (s.starts ? [s.starts] : []))
  return {
    inputs: samples.map((s) => s.inputs),
    targets: samples.map((s) => s.targets),
    starts: starts.length === samples.length ? starts : undefined,
  }
}
