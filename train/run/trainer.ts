// A training run on one device: data, steps, validation, samples of text, checkpoints. What a person sees
// of it is the command's matter (cli/train.ts); it calls back.
import { fromNode } from "../../engine/node.ts"
import { type LanguageModel, nextTurn, type Tokenizer } from "../../model/index.ts"
import { type PipelineState, type Sample, type TextPipeline, textPipeline } from "../data/index.ts"
import { TrainStep } from "../step/step.ts"
import {
  checkpointOf,
  type RunState,
  readRunState,
  restoreStep,
  writeCheckpoint,
} from "./checkpoint.ts"
import type { Settings } from "./fields.ts"
import type { RunFolder } from "./folder.ts"
import type { EvaluationMetrics } from "./metrics.ts"
import {
  dataSection,
  modelOf,
  sampleOf,
  stepOptions,
  tokenizerOf,
  validationSamples,
} from "./parts.ts"
import type { RunMemory, RunOptions, RunResult } from "./run.ts"
import { learningRate, scheduleOf } from "./schedule.ts"

/** One run, from its folder and settings to its last checkpoint. */
export class Run {
  readonly #folder: RunFolder
  readonly #settings: Settings
  readonly #options: RunOptions
  readonly #tokenizer: Tokenizer
  readonly #model: LanguageModel
  readonly #step: TrainStep
  readonly #data: TextPipeline
  readonly #validation: readonly Sample[]
  /** The last that this run wrote. */
  checkpoint: string | undefined
  #tokens = 0
  #lastEvaluation: EvaluationMetrics | undefined
  #mostFlops = 0
  /** Positions trained on and milliseconds spent in steps since the last line. */
  #since = { positions: 0, ms: 0, steps: 0 }

  private constructor(parts: RunParts) {
    this.#folder = parts.folder
    this.#settings = parts.settings
    this.#options = parts.options
    this.#tokenizer = parts.tokenizer
    this.#model = parts.model
    this.#step = parts.step
    this.#data = parts.data
    this.#validation = parts.validation
    this.#tokens = parts.tokens
  }

  static async open(folder: RunFolder, settings: Settings, options: RunOptions): Promise<Run> {
    const { backend, onSkip, onDownload } = options
    const from = options.resume === undefined ? undefined : await checkpointOf(options.resume)
    const dataOptions = await dataSection(settings)
    const tokenizer = await tokenizerOf(settings, dataOptions, from, { onDownload })
    const state = from === undefined ? undefined : await readRunState(from)
    checkSteps(settings, state?.step ?? 0)
    const model = await modelOf(settings, tokenizer, backend, from, { onDownload })
    let step: TrainStep | undefined
    try {
      step = await TrainStep.create(model, stepOptions(settings, tokenizer))
      if (from !== undefined) await restoreStep(from, step)
      const resumed = from === undefined || !state ? {} : placeOf(from, state)
      const skips = onSkip ? { onSkip } : {}
      const data = textPipeline(dataOptions, { tokenizer, ...resumed, ...skips })
      const validation = await validationSamples(settings, dataOptions, tokenizer)
      const tokens = state?.tokens ?? 0
      return new Run({
        folder,
        settings,
        options,
        tokenizer,
        model,
        step,
        data,
        validation,
        tokens,
      })
    } catch (error) {
      await step?.close()
      await model.close()
      throw error
    }
  }

  async train(): Promise<RunResult> {
    const { steps, evalEvery, sampleEvery, saveEvery } = this.#settings
    const { signal, onStart } = this.#options
    const { config, parameters } = this.#model
    const { steps: begin, settings } = this.#step
    const { ignoreIndex } = settings
    const tokenizer = this.#tokenizer
    const validation = this.#validation.length
    await onStart?.({ config, parameters, step: begin, tokenizer, validation, ignoreIndex })
    const due = (every: number, step: number): boolean => every > 0 && step % every === 0
    while (this.#step.steps < steps && !signal?.aborted) {
      await this.#update()
      const step = this.#step.steps
      if (step === begin + 1) this.#options.onMemory?.(this.#memory())
      const last = step === steps
      if (due(evalEvery, step) || last) await this.#evaluate()
      if (due(sampleEvery, step) || (last && sampleEvery > 0)) await this.#sample()
      if (due(saveEvery, step) || last) await this.#save()
      // Lets signals and the data's threads be heard.
      await nextTurn()
    }
    const step = this.#step.steps
    const stopped = step < steps
    if (stopped && step > begin && !due(saveEvery, step)) await this.#save()
    const { checkpoint } = this
    const lastEvaluation = this.#lastEvaluation
    return { step, tokens: this.#tokens, stopped, checkpoint, lastEvaluation }
  }

  /** Updates made. */
  get step(): number {
    return this.#step.steps
  }

  #memory(): RunMemory {
    const { optimizerBytes, activationBytes, otherActivationBytes } = this.#step
    return {
      stateBytes: this.#model.weightBytes + optimizerBytes,
      activationBytes,
      otherActivationBytes,
    }
  }

  async close(): Promise<void> {
    await this.#data.return()
    await this.#step.close()
    await this.#model.close()
  }

  async #update(): Promise<void> {
    const { batchSize, sequenceLength, logEvery } = this.#settings
    const samples: Sample[] = []
    while (samples.length < batchSize) {
      const { value, done } = await this.#data.next()
      if (done) throw new Error(`the data ended after update ${this.#step.steps}`)
      samples.push(value)
    }
    const lr = learningRate(scheduleOf(this.#settings), this.#step.steps)
    const start = performance.now()
    const { inputs, targets, starts } = batchOf(samples)
    const result = await this.#step.run(inputs, targets, starts ? { lr, starts } : { lr })
    const since = this.#since
    since.ms += performance.now() - start
    since.positions += batchSize * sequenceLength
    since.steps++
    const { ignoreIndex } = this.#step.settings
    for (const row of targets) for (const id of row) if (id !== ignoreIndex) this.#tokens++
    const step = this.#step.steps
    if (step % logEvery !== 0 && step !== this.#settings.steps) return
    const flops = (this.#step.flops * since.steps * 1000) / since.ms
    const measured = await this.#options.measureFlops?.()
    // The machine can do what it did at any time, whatever else ran on it when it was measured.
    if (measured !== undefined) this.#mostFlops = Math.max(this.#mostFlops, measured, flops)
    const most = measured === undefined ? undefined : this.#mostFlops
    await this.#options.onMetrics?.({
      step,
      loss: result.loss,
      ce: result.ce,
      z: result.z,
      lr,
      grad_norm: result.gradNorm,
      tokens: this.#tokens,
      tokens_per_second: (1000 * since.positions) / since.ms,
      ...(most === undefined ? {} : { mul_add_fraction: flops / most }),
    })
    this.#since = { positions: 0, ms: 0, steps: 0 }
  }

  async #evaluate(): Promise<void> {
    const { batchSize } = this.#settings
    let [sum, count] = [0, 0]
    for (let at = 0; at + batchSize <= this.#validation.length; at += batchSize) {
      const { inputs, targets, starts } = batchOf(this.#validation.slice(at, at + batchSize))
      const found = await this.#step.evaluate(inputs, targets, starts)
      if (found.count === 0) continue
      sum += found.ce * found.count
      count += found.count
    }
    if (count === 0) return
    this.#lastEvaluation = {
      step: this.#step.steps,
      validation_loss: sum / count,
      validation_perplexity: Math.exp(sum / count),
      validation_tokens: count,
    }
    await this.#options.onMetrics?.(this.#lastEvaluation)
  }

  async #sample(): Promise<void> {
    const step = this.#step.steps
    const sample = await sampleOf(this.#settings, this.#model, this.#tokenizer, step)
    if (sample !== undefined) await this.#options.onMetrics?.({ step, sample })
  }

  async #save(): Promise<void> {
    const { keep } = this.#settings
    const state = {
      tokens: this.#tokens,
      // Absolute, so that a run which is moved with its data finds it.
      settings: { ...this.#settings, out: fromNode("node:path").resolve(this.#settings.out) },
      data: this.#data.state() ?? null,
    }
    const tokenizer = this.#tokenizer
    this.checkpoint = await writeCheckpoint(this.#folder, this.#step, state, { tokenizer, keep })
    this.#options.onCheckpoint?.(this.checkpoint)
  }
}

/** Where the data of a run goes on. */
function placeOf(checkpoint: string, { data }: RunState) {
  const path = fromNode("node:path").join(checkpoint, "state.json")
  if (data) return { state: data as PipelineState, stateName: `${path}: state` }
  throw new SyntaxError(`${path}: data is null, expected the place in the data`)
}

/** A run may be given more updates than it was begun with, or fewer, but not less than it has made. */
function checkSteps({ steps }: Settings, made: number): void {
  if (steps >= made) return
  throw new RangeError(`steps is ${steps}, and the run has made ${made} updates. Give more`)
}

interface RunParts {
  readonly folder: RunFolder
  readonly settings: Settings
  readonly options: RunOptions
  readonly tokenizer: Tokenizer
  readonly model: LanguageModel
  readonly step: TrainStep
  readonly data: TextPipeline
  readonly validation: readonly Sample[]
  readonly tokens: number
}

function batchOf(samples: readonly Sample[]) {
  const starts = samples.flatMap((s) => (s.starts ? [s.starts] : []))
  return {
    inputs: samples.map((s) => s.inputs),
    targets: samples.map((s) => s.targets),
    starts: starts.length === samples.length ? starts : undefined,
  }
}
