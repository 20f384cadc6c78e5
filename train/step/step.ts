// One training step, recorded once and replayed for every batch of its shape: forward, backward,
// clip and the optimizer; with several micro-batches, forward and backward for each and then one update.
import {
  type Backend,
  bufferOf,
  planStages,
  readBound,
  runOnce,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import { Holder, internals, type LanguageModel, nextTurn, Usage } from "../../model/index.ts"
import { cast } from "../../ops/index.ts"
import { isNotNegative } from "../checks.ts"
import { type ShardedWeights, sharedWeights } from "../parallel/weights.ts"
import { type StateBytes, stateBytesOf } from "./amounts.ts"
import { type Batch, checkBatch, divisorsOf, type MicroBatch } from "./batch.ts"
import { Bounds } from "./bounds.ts"
import { leaveOut } from "./dropout.ts"
import { accompanyLoss, type Evaluation, lossOf } from "./evaluation.ts"
import { recordStep } from "./graph.ts"
import { checkTrainOptions, roundsOf, type TrainOptions, type TrainSettings } from "./options.ts"
import { ownedBy } from "./owned.ts"
import {
  freePlans,
  gradientStages,
  recordPlans,
  type StepForm,
  type StepPlans,
  upload,
} from "./plans.ts"
import { Rounds } from "./rounds.ts"
import { countsOfAll, resultOf, type StepResult } from "./shared.ts"
import { type Trained, trainedOf } from "./trained.ts"
import { failureOf, hasMaster, type Parameter, parametersOf } from "./update.ts"

/** What may differ from step to step. */
export interface StepOptions {
  readonly lr: number
  /** First position that each position attends to, (B, T); default 0 everywhere. */
  readonly starts?: Batch
  /** A number of each sequence for the objective, (B); default 0. */
  readonly given?: Float32Array
}

/** Trains a model in place. Free it before the model. */
export class TrainStep {
  readonly model: LanguageModel
  readonly settings: TrainSettings
  readonly parameters: readonly Parameter[]
  /** Updates made. */
  steps = 0
  /** Of the last one that was made here. */
  gradNorm = 0
  readonly #backend: Backend
  readonly #held: Holder
  readonly #rates: Tensor
  readonly #bounds: Bounds
  readonly #trained: Trained
  /** Of several ranks. */
  readonly #rounds: Rounds | undefined
  /** Where no rank keeps them whole. */
  readonly #weights: ShardedWeights | undefined
  #plans: StepPlans | undefined
  readonly #usage = new Usage("this training step is closed. Create another one")

  private constructor(model: LanguageModel, settings: TrainSettings) {
    this.model = model
    this.settings = settings
    this.#backend = model.backend
    this.#trained = trainedOf(model, settings.adapter)
    this.#held = new Holder(model.backend)
    try {
      const { ranks, shard } = settings
      this.#weights = shard === "full" ? sharedWeights(model) : undefined
      const owned =
        shard === "none" ? undefined : ownedBy(settings, this.#trained, this.#held, this.#weights)
      this.parameters = parametersOf(this.#trained, settings, this.#held, owned)
      this.#rates = this.#held.allocate([settings.optimizer.rates(0, 1).length])
      if (ranks.size > 1) {
        this.#rounds = new Rounds(this.parameters, model.backend, settings, this.#weights)
      }
      this.#bounds = new Bounds(this.parameters, settings, model.backend)
    } catch (error) {
      this.#held.free()
      throw error
    }
  }

  /** States of zeros, masters from the weights. Throws RangeError or TypeError naming an option. */
  static async create(model: LanguageModel, options: TrainOptions = {}): Promise<TrainStep> {
    const settings = checkTrainOptions(model, options)
    return trainedOf(model, settings.adapter).training(async () => {
      const step = new TrainStep(model, settings)
      const moved = step.parameters.filter(({ owned }) => owned?.size !== 0)
      const filled = moved.flatMap(({ weight, master, owned }): Update[] =>
        hasMaster(weight) ? [[master, cast(owned?.weight ?? weight, "f32")]] : [],
      )
      const failed = (error: unknown) => step.close().then(() => Promise.reject(error))
      await runOnce(model.backend, filled).catch(failed)
      return step
    })
  }

  /** Bytes of the values between the steps of the plan, once a batch has run. */
  get activationBytes(): number {
    return this.#plans?.arenaBytes ?? 0
  }

  /** The same with activation checkpointing the other way round, from a plan that is not run. */
  get otherActivationBytes(): number {
    const plans = this.#plans
    if (!plans) return 0
    const checkpointActivations = !this.settings.checkpointActivations
    const settings = { ...this.settings, checkpointActivations }
    const trained = this.parameters.map(({ weight }) => weight)
    const recorded = recordStep(this.#trained.decoder, trained, plans.batch, settings)
    const stages = gradientStages(recorded, this.parameters, [], settings.ranks)
    return planStages(stages, this.#backend).arenaBytes
  }

  /** Steps of the plan, once a batch has run. */
  get planSteps(): number {
    return this.#plans?.planSteps ?? 0
  }

  /** Floating-point operations of the products and of attention in one update. */
  get flops(): number {
    return this.#plans?.flops ?? 0
  }

  /** Bytes of the optimizer's state, gradients and masters. */
  get optimizerBytes(): number {
    return this.#held.bytes - this.#rates.bytes + (this.#rounds?.bytes ?? 0)
  }

  /** Bytes of the weights and of all that is kept beside them, by what it is for. */
  get stateBytes(): StateBytes {
    const { parameters, settings, optimizerBytes, model } = this
    const [trained, weights] = [this.#trained, this.#weights]
    const { weightBytes } = model
    return stateBytesOf({ parameters, settings, trained, weights, weightBytes, optimizerBytes })
  }

  /**
   * One update from inputs and targets (B, T). Throws RangeError for ids outside the vocabulary and
   * rows of unequal length; Error naming the parameter when a gradient, or the update itself, is
   * not finite, and then nothing has changed.
   */
  run(inputs: Batch, targets: Batch, options: StepOptions): Promise<StepResult> {
    return this.#alone(() => this.#trained.training(() => this.#run(inputs, targets, options)))
  }

  /**
   * Cross-entropy of a batch (B, T) in nats, the mean of the `count` targets that are not ignored; of
   * another objective its first term.
   * Nothing moves. Throws as `run` does.
   */
  evaluate(inputs: Batch, targets: Batch, starts?: Batch): Promise<Evaluation> {
    return this.#alone(() => this.#trained.reading(() => this.#evaluate(inputs, targets, starts)))
  }

  /** Takes part in an evaluation of the others, for which this rank has nothing, where ranks have parts of the
   *  weights. After an update. */
  accompany(): Promise<void> {
    return this.#alone(async () => {
      const [plans, rounds, weights] = [this.#plans, this.#rounds, this.#weights]
      if (plans)
        await accompanyLoss({
          backend: this.#backend,
          settings: this.settings,
          plans,
          rounds,
          weights,
        })
    })
  }

  /** What `work` gives while nothing moves the model or closes this; it may ask what was lost. */
  still<T>(work: (check: () => Promise<void>) => Promise<T>): Promise<T> {
    return this.#usage.reading(() => internals(this.model).reading(work))
  }

  async #alone<T>(call: () => Promise<T>): Promise<T> {
    if (!this.#usage.isWritten) return this.#usage.writing(call)
    throw new Error("this training step is under way. Await it before the next")
  }

  async #run(inputs: Batch, targets: Batch, options: StepOptions): Promise<StepResult> {
    const { lr, starts } = options
    const { settings } = this
    const { optimizer, ranks } = settings
    const local = { ...settings, accumulation: roundsOf(settings) }
    const { B, T, parts } = checkBatch(this.model.config, local, inputs, targets, starts)
    if (!(typeof lr === "number" && isNotNegative(lr))) {
      throw new RangeError(
        `lr must be a number from 0 (in f32: 1.2e-38 to 3.4e38), got ${String(lr)}`,
      )
    }
    const { given = new Float32Array(B) } = options
    const counts = await countsOfAll(ranks, parts)
    const divisors = divisorsOf(counts, settings)
    const rates = optimizer.rates(lr, this.steps + 1)
    const tried = !(await this.#bounds.hold(rates))
    if (tried && settings.shard !== "none") {
      throw new Error(
        `update ${this.steps + 1}: the parameters might not be finite in f32 after it (lr ${lr}), and an update is ` +
          "not tried where ranks keep parts of the state. Nothing was changed; lower the learning rate or the weight decay, or raise eps",
      )
    }
    const rows = B / parts.length
    const plans = this.#prepare({ B: rows, T, tried })
    this.#backend.write(bufferOf(this.#rates), rates)
    const reports = await this.#replay(plans, parts, divisors, given)
    const { parameters } = this
    const result = await resultOf(reports, { parameters, settings, counts, rows })
    const last = reports.at(-1) as ArrayLike<number>
    const failure = failureOf(this.steps + 1, lr, result, parameters, last)
    if (failure) throw failure
    this.gradNorm = result.gradNorm
    this.steps++
    return result
  }

  /** Runs the plans for each micro-batch of this rank, and the update. Returns a report of each. */
  async #replay(
    plans: StepPlans,
    parts: readonly MicroBatch[],
    divisors: readonly number[],
    given: Float32Array,
  ): Promise<readonly ArrayLike<number>[]> {
    const { accumulation, adapter, ranks } = this.settings
    const rows = plans.form.B
    const reports: ArrayLike<number>[] = []
    for (const [i, part] of parts.entries()) {
      if (i > 0) await nextTurn()
      const number = i * ranks.size + ranks.rank
      const divisor = divisors[number] as number
      upload(this.#backend, plans, part, divisor, given.slice(i * rows, (i + 1) * rows))
      leaveOut(this.#backend, plans.batch.dropout, adapter, this.steps * accumulation + number)
      if (this.#rounds) await this.#rounds.pass(plans, i)
      else await (i === 0 ? plans.first : (plans.more ?? plans.first)).run()
      if (i < parts.length - 1) reports.push(await readBound(plans.report, this.#backend))
    }
    await (this.#rounds ? this.#rounds.update(plans) : plans.update?.run())
    return [...reports, await readBound(plans.report, this.#backend)]
  }

  async #evaluate(inputs: Batch, targets: Batch, starts?: Batch): Promise<Evaluation> {
    const { B, T, parts } = checkBatch(this.model.config, this.settings, inputs, targets, starts)
    const tried = this.#plans?.form.tried ?? false
    const plans = this.#prepare({ B: B / this.settings.accumulation, T, tried })
    const { settings, parameters } = this
    const [backend, rounds, weights] = [this.#backend, this.#rounds, this.#weights]
    return lossOf(parts, { backend, settings, parameters, plans, rounds, weights })
  }

  /** Frees all but the model, when what is under way has ended. */
  close(): Promise<void> {
    return this.#usage.close(() => {
      this.#free()
      this.#held.free()
    })
  }

  #free(): void {
    const plans = this.#plans
    this.#plans = undefined
    if (plans) freePlans(plans)
  }

  #prepare(form: StepForm): StepPlans {
    if (this.#plans && isSame(this.#plans.form, form)) return this.#plans
    this.#free()
    const held = new Holder(this.#backend)
    const { settings, parameters } = this
    const { decoder } = this.#trained
    const [backend, rates, weights] = [this.#backend, this.#rates, this.#weights]
    const planned = { backend, decoder, settings, parameters, rates, weights }
    try {
      this.#plans = recordPlans(planned, form, held)
      return this.#plans
    } catch (error) {
      held.free()
      throw error
    }
  }
}

const isSame = (a: StepForm, b: StepForm): boolean =>
  a.B === b.B && a.T === b.T && a.tried === b.tried
