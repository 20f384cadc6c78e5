// Training from an application: losses and gradients of a batch, and steps that move a model.
import {
  type Backend,
  bufferOf,
  checkObject,
  constant,
  kindOf,
  readTensors,
  runOnce,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import { Holder, LanguageModel } from "../../model/index.ts"
import { reshape } from "../../ops/index.ts"
import { type Batch, checkBatch, divisorsOf } from "./batch.ts"
import { recordStep } from "./graph.ts"
import { checkTrainOptions, type TrainOptions, type TrainSettings } from "./options.ts"
import type { StepResult } from "./shared.ts"
import { type StepOptions, TrainStep } from "./step.ts"
import { type Trained, trainedOf } from "./trained.ts"

/** Which loss, and of what. */
export interface LossOptions
  extends Pick<
    TrainOptions,
    "objective" | "zLoss" | "ignoreIndex" | "labelSmoothing" | "checkpointActivations" | "adapter"
  > {
  /** First position that each position attends to, (B, T); default 0 everywhere. */
  readonly starts?: Batch
}

/** A loss with its terms and gradients. */
export interface LossAndGradients {
  /** ce + z, or what else the objective gives. */
  readonly loss: number
  /** Mean cross-entropy of the targets that count, in nats. */
  readonly ce: number
  readonly z: number
  /** By name in the file format, row-major in the shape of that tensor. */
  readonly gradients: Record<string, Float32Array>
}

/**
 * Loss of a batch and its gradient with respect to every weight. inputs, targets (B, T).
 * Throws RangeError for ids outside the vocabulary, rows of unequal length, and targets of which none
 * counts.
 */
export async function lossAndGradients(
  model: LanguageModel,
  inputs: Batch,
  targets: Batch,
  given: LossOptions = {},
): Promise<LossAndGradients> {
  checkModel("lossAndGradients", model)
  checkObject("lossAndGradients: options", given)
  const { starts, ...options } = given
  const settings = checkTrainOptions(model, { ...options, accumulation: 1 })
  const batch = checkBatch(model.config, settings, inputs, targets, starts)
  const counts = batch.parts.map(({ counted }) => counted)
  divisorsOf(counts, settings)
  const trained = trainedOf(model, settings.adapter)
  return trained.reading(() => gradientsOf(model.backend, trained, settings, batch))
}

async function gradientsOf(
  backend: Backend,
  { decoder, tensors, fileRows }: Trained,
  settings: TrainSettings,
  { B, T, parts }: ReturnType<typeof checkBatch>,
): Promise<LossAndGradients> {
  const held = new Holder(backend)
  try {
    const [part] = parts as [(typeof parts)[0]]
    const place = (data: Int32Array, shape: number[]) => {
      const tensor = held.allocate(shape, "i32")
      backend.write(bufferOf(tensor), data)
      return tensor
    }
    const batch = {
      tokens: place(part.inputs, [B * T]),
      targets: place(part.targets, [B * T]),
      starts: place(part.starts, [B, T]),
      count: constant([part.counted], [1]),
      given: constant(new Float32Array(B), [B]),
    }
    const { gradients, ...losses } = recordStep(decoder, tensors.values(), batch, settings)
    const found = [...tensors].map(([name, tensor]) => {
      const gradient = gradients.get(tensor) as Tensor
      return { name, gradient, target: held.allocate(gradient.shape, "f32", tensor) }
    })
    const { ce: first = losses.loss, z: second = constant([0], [1]) } = losses.terms
    const scalars = [losses.loss, first, second].map((x) => reshape(x, [1]))
    const places = scalars.map(() => held.allocate([1]))
    await runOnce(backend, [
      ...places.map((target, i): Update => [target, scalars[i] as (typeof scalars)[0]]),
      ...found.map(({ target, gradient }): Update => [target, gradient]),
    ])
    const result: Record<string, Float32Array> = {}
    for (const { name, target } of found) {
      const [rows] = await readTensors([fileRows(name, target)], backend)
      result[name] = rows as Float32Array
    }
    const [loss, ce, z] = (await readTensors(places, backend)).map((x) => x[0] as number)
    return { loss: loss as number, ce: ce as number, z: z as number, gradients: result }
  } finally {
    held.free()
  }
}

/** A function that makes one update; `lr` is that of this step. */
export interface TrainStepFunction {
  (inputs: Batch, targets: Batch, options: StepOptions): Promise<StepResult>
  /** What runs: settings, moments, counts. */
  readonly state: TrainStep
  /** Frees the moments, after a step that is under way; the model stays open. */
  close(): Promise<void>
}

/**
 * Prepares training of a model in place: AdamW, clip, loss. The plan is recorded at the first batch
 * and replayed for all of its shape. Throws RangeError or TypeError naming the option.
 */
export async function createTrainStep(
  model: LanguageModel,
  options: TrainOptions = {},
): Promise<TrainStepFunction> {
  checkModel("createTrainStep", model)
  checkObject("createTrainStep: options", options)
  const state = await TrainStep.create(model, options)
  const step = async (inputs: Batch, targets: Batch, each: StepOptions) => {
    checkObject("step: options", each)
    return state.run(inputs, targets, each)
  }
  return Object.assign(step, { state, close: () => state.close() })
}

/** Throws TypeError for what is no model. */
export function checkModel(where: string, model: unknown): void {
  if (model instanceof LanguageModel) return
  throw new TypeError(`${where}: the model must be an OpenELM, got ${kindOf(model)}`)
}
