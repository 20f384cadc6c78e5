// One training step, recorded once and replayed for every batch of its shape: forward, backward,
// clip and AdamW; with several micro-batches, forward and backward for each and then one update.
import {
  type Backend,
  bufferOf,
  type Prepared,
  plan,
  readBound,
  runOnce,
  type Tensor,
  type Update,
} from "../engine/index.ts"
import { Holder, nextTurn, type OpenELM, Usage } from "../model/index.ts"
import { accumulate, cast, reshape } from "../ops/index.ts"
import { type Batch, checkBatch, checkCounted, type Part } from "./batch.ts"
import { compile } from "./compile.ts"
import { type BatchTensors, recordStep } from "./graph.ts"
import {
  allocateReport,
  notFinite,
  optimiserUpdates,
  type Parameter,
  parametersOf,
  ratesOf,
  reportHead,
  reportNumber,
} from "./optimiser.ts"
import { checkTrainOptions, type TrainOptions, type TrainSettings } from "./options.ts"

export interface StepResult {
  /** Mean over the micro-batches of ce + z. */
  readonly loss: number
  readonly ce: number
  readonly z: number
  /** Global L2 norm of the gradients before the clip. */
  readonly gradNorm: number
}

export interface Evaluation {
  readonly ce: number
  readonly count: number
}

export interface StepOptions {
  readonly lr: number
  /** First position that each position attends to, (B, T); default 0 everywhere. */
  readonly starts?: Batch
}

/** Inputs, targets and the first visible position of each, on the backend, and the plans for them. */
interface Ready {
  readonly batch: BatchTensors
  readonly B: number
  readonly T: number
  readonly arenaBytes: number
  readonly planSteps: number
  /** Multiply-adds, twice, of the products and of attention in one update. */
  readonly flops: number
  /** Forward, backward and, where there is one micro-batch, the update. */
  readonly first: Prepared
  /** Adds a further micro-batch to the gradients. */
  readonly more?: Prepared
  readonly update?: Prepared
  readonly report: Tensor
  /** Updates that put the losses into the report, and the plan of them alone, made when asked for. */
  readonly losses: readonly Update[]
  evaluation?: Prepared
  readonly held: Holder
}

/** Trains a model in place. Free it before the model. */
export class TrainStep {
  readonly model: OpenELM
  readonly settings: TrainSettings
  readonly parameters: readonly Parameter[]
  /** Updates made. */
  steps = 0
  readonly #backend: Backend
  readonly #held: Holder
  readonly #rates: Tensor
  #ready: Ready | undefined
  readonly #usage = new Usage("this training step is closed. Create another one")

  private constructor(model: OpenELM, settings: TrainSettings) {
    this.model = model
    this.settings = settings
    this.#backend = model.backend
    this.#held = new Holder(model.backend)
    try {
      this.parameters = parametersOf(model.tensors, this.#held)
      this.#rates = this.#held.allocate([3])
    } catch (error) {
      this.#held.free()
      throw error
    }
  }

  /** Moments of zeros, masters from the weights. Throws RangeError or TypeError naming an option. */
  static async create(model: OpenELM, options: TrainOptions = {}): Promise<TrainStep> {
    const settings = checkTrainOptions(model, options)
    return model.training(async () => {
      const step = new TrainStep(model, settings)
      const masters = step.parameters.filter(({ weight, master }) => weight !== master)
      const filled = masters.map(({ weight, master }): Update => [master, cast(weight, "f32")])
      const failed = (error: unknown) => step.close().then(() => Promise.reject(error))
      await runOnce(model.backend, filled).catch(failed)
      return step
    })
  }

  /** Bytes of the values between the steps of the plan, once a batch has run. */
  get activationBytes(): number {
    return this.#ready?.arenaBytes ?? 0
  }

  /** The same with activation checkpointing the other way round, from a plan that is not run. */
  get otherActivationBytes(): number {
    const ready = this.#ready
    if (!ready) return 0
    const checkpointActivations = !this.settings.checkpointActivations
    const settings = { ...this.settings, checkpointActivations }
    const { config, weights } = this.model
    const { gradients } = recordStep(config, weights, ready.batch, settings)
    const sums = this.parameters.map(
      ({ weight, gradient }): Update => [gradient, gradients.get(weight) as Tensor],
    )
    return plan(sums, this.#backend).arenaBytes
  }

  /** Steps of the plan, once a batch has run. */
  get planSteps(): number {
    return this.#ready?.planSteps ?? 0
  }

  /** Floating-point operations of the products and of attention in one update. */
  get flops(): number {
    return this.#ready?.flops ?? 0
  }

  /** Bytes of moments, gradients and masters. */
  get optimiserBytes(): number {
    return this.parameters.reduce((sum, { weight, master, first, second, gradient }) => {
      const own = master === weight ? 0 : master.bytes
      return sum + first.bytes + second.bytes + gradient.bytes + own
    }, 0)
  }

  /**
   * One update from inputs and targets (B, T). Throws RangeError for ids outside the vocabulary and
   * rows of unequal length; Error naming the parameter when a gradient is not finite, and then
   * nothing has changed.
   */
  run(inputs: Batch, targets: Batch, options: StepOptions): Promise<StepResult> {
    return this.#alone(() => this.model.training(() => this.#run(inputs, targets, options)))
  }

  /**
   * Cross-entropy of a batch (B, T) in nats, the mean of the `count` targets that are not ignored.
   * Nothing moves. Throws as `run` does.
   */
  evaluate(inputs: Batch, targets: Batch, starts?: Batch): Promise<Evaluation> {
    return this.#alone(() => this.model.reading(() => this.#evaluate(inputs, targets, starts)))
  }

  /** What `work` gives while nothing moves the model or closes this; it may ask what was lost. */
  still<T>(work: (check: () => Promise<void>) => Promise<T>): Promise<T> {
    return this.#usage.reading(() => this.model.reading(work))
  }

  async #alone<T>(call: () => Promise<T>): Promise<T> {
    if (!this.#usage.isWritten) return this.#usage.writing(call)
    throw new Error("this training step is under way. Await it before the next")
  }

  async #run(inputs: Batch, targets: Batch, { lr, starts }: StepOptions): Promise<StepResult> {
    const { accumulation } = this.settings
    const { B, T, parts } = checkBatch(this.model.config, this.settings, inputs, targets, starts)
    if (!(lr >= 0 && lr < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`lr must be a number from 0, got ${lr}`)
    }
    checkCounted(parts, this.settings.ignoreIndex)
    const ready = this.#prepare(B / accumulation, T)
    const rates = ratesOf(lr, this.steps + 1, this.settings.betas)
    this.#backend.write(bufferOf(this.#rates), rates)
    const losses = [0, 0, 0]
    for (const [i, part] of parts.entries()) {
      if (i > 0) await nextTurn()
      this.#upload(ready, part)
      await (i === 0 ? ready.first : (ready.more as Prepared)).run()
      if (parts.length === 1) break
      const numbers = await readBound(ready.report, this.#backend)
      for (let n = 0; n < 3; n++) losses[n] = (losses[n] as number) + (numbers[n] as number)
    }
    await ready.update?.run()
    const numbers = await readBound(ready.report, this.#backend)
    const mean = (i: number): number =>
      parts.length === 1 ? (numbers[i] as number) : (losses[i] as number) / parts.length
    const result = {
      loss: mean(reportHead.loss),
      ce: mean(reportHead.ce),
      z: mean(reportHead.z),
      gradNorm: numbers[reportHead.norm] as number,
    }
    // What adamW itself went by: the norm on the device.
    if (!(result.gradNorm < 3e38)) throw notFinite(this.steps + 1, result, this.parameters, numbers)
    this.steps++
    return result
  }

  async #evaluate(inputs: Batch, targets: Batch, starts?: Batch): Promise<Evaluation> {
    const { accumulation, ignoreIndex } = this.settings
    const { B, T, parts } = checkBatch(this.model.config, this.settings, inputs, targets, starts)
    const ready = this.#prepare(B / accumulation, T)
    ready.evaluation ??= this.#backend.prepare(plan(ready.losses, this.#backend))
    let [sum, count] = [0, 0]
    for (const part of parts) {
      const counted = part.targets.filter((id) => id !== ignoreIndex).length
      if (counted === 0) continue
      await nextTurn()
      this.#upload(ready, part)
      await ready.evaluation.run()
      const numbers = await readBound(ready.report, this.#backend)
      sum += (numbers[reportHead.ce] as number) * counted
      count += counted
    }
    return { ce: sum / count, count }
  }

  #upload({ batch }: Ready, part: Part): void {
    this.#backend.write(bufferOf(batch.tokens), part.inputs)
    this.#backend.write(bufferOf(batch.targets), part.targets)
    this.#backend.write(bufferOf(batch.starts), part.starts)
  }

  /** Frees all but the model, when what is under way has ended. */
  close(): Promise<void> {
    return this.#usage.close(() => {
      this.#free()
      this.#held.free()
    })
  }

  #free(): void {
    const ready = this.#ready
    this.#ready = undefined
    for (const each of [ready?.first, ready?.more, ready?.update, ready?.evaluation]) each?.close()
    ready?.held.free()
  }

  #prepare(B: number, T: number): Ready {
    if (this.#ready?.B === B && this.#ready.T === T) return this.#ready
    this.#free()
    const held = new Holder(this.#backend)
    try {
      this.#ready = this.#record(B, T, held)
      return this.#ready
    } catch (error) {
      held.free()
      throw error
    }
  }

  #record(B: number, T: number, held: Holder): Ready {
    const { model, parameters, settings } = this
    const batch = {
      tokens: held.allocate([B * T], "i32"),
      targets: held.allocate([B * T], "i32"),
      starts: held.allocate([B, T], "i32"),
    }
    const report = allocateReport(held, parameters)
    const { loss, ce, z, gradients } = recordStep(model.config, model.weights, batch, settings)
    const losses = Object.entries({ loss, ce, z }).map(
      ([name, x]): Update => [reportNumber(report, reportHead[name as "loss"]), x],
    )
    const place = { report, rates: this.#rates, share: 1 }
    const all = { B, T, batch, report, losses, held }
    const sums = new Map(parameters.map(({ weight, gradient }) => [weight, gradient]))
    const set = [...sums].map(([w, sum]): Update => [sum, gradients.get(w) as Tensor])
    if (settings.accumulation === 1) {
      const updates = optimiserUpdates(parameters, gradients, place, settings)
      const first = [...losses, ...set, ...updates]
      return { ...all, ...compile(this.#backend, 1, { first }) }
    }
    const share = settings.accumulate === "mean" ? 1 / settings.accumulation : 1
    const added = [...sums].map(([weight, sum]): Update => {
      const gradient = gradients.get(weight) as Tensor
      const flat = [sum, gradient].map((x) => reshape(x, [x.size])) as [Tensor, Tensor]
      return [sum, reshape(accumulate(...flat), sum.shape)]
    })
    return {
      ...all,
      ...compile(this.#backend, settings.accumulation, {
        first: [...losses, ...set],
        more: [...losses, ...added],
        update: optimiserUpdates(parameters, sums, { ...place, share }, settings),
      }),
    }
  }
}
