// A step of preference training: the reference's log-probabilities of a batch, then an update by those of
// the model.
import { checkObject, checkWhole } from "../../engine/index.ts"
import {
  type Adapter,
  copyWeights,
  internals,
  type LanguageModel,
  type LoadedWeights,
} from "../../model/index.ts"
import { checkNumberOf, isPositive } from "../checks.ts"
import { objectives, type PreferenceLoss } from "../objectives/index.ts"
import type { Communicator } from "../parallel/communicator.ts"
import { ownOf, sharedNumbers } from "../parallel/share.ts"
import { checkModel } from "../step/api.ts"
import { checkBatch } from "../step/batch.ts"
import type { TrainOptions } from "../step/options.ts"
import { TrainStep } from "../step/step.ts"
import { givenOf, ignoredLabel, type PreferencePair, pairRows } from "./batch.ts"
import { ReferenceScorer } from "./reference.ts"

/** How a model learns preferences. */
export interface PreferenceStepOptions
  extends Pick<
    TrainOptions,
    | "adapter"
    | "optimizer"
    | "eps"
    | "clip"
    | "trainable"
    | "checkpointActivations"
    | "ranks"
    | "shard"
  > {
  /** Default "sigmoid". */
  readonly loss?: PreferenceLoss
  /** Default 0.1; the release's recipe has 0.01. */
  readonly beta?: number
  /** Of the sigmoid loss; default 0. */
  readonly labelSmoothing?: number
  /** AdamW's; default [0.9, 0.999]. */
  readonly betas?: readonly [number, number]
  /** Default 0. */
  readonly weightDecay?: number
  /** Micro-batches of an update, whose losses are averaged; default 1. */
  readonly accumulation?: number
  /** "given": every pair brings log-probabilities of its answers, and there is no copy of the weights; default
   *  "model", as it is when the step is made: without an adapter a copy of the weights, which every rank has whole. */
  readonly reference?: "model" | "given"
}

/** What an update of preferences reports, all of it from before the update: means over its pairs. */
export interface PreferenceResult {
  readonly loss: number
  /** β times how much likelier an answer has become than under the reference. */
  readonly chosenRewards: number
  readonly rejectedRewards: number
  /** Part of the pairs whose chosen answer has the greater reward. */
  readonly accuracy: number
  readonly margin: number
  /** Log-probabilities of whole answers. */
  readonly chosenLogProb: number
  readonly rejectedLogProb: number
  /** Mean logits over the vocabulary and the positions whose labels count. */
  readonly chosenLogits: number
  readonly rejectedLogits: number
  /** Global L2 norm of the gradients before the clip. */
  readonly gradNorm: number
}

/** A function that makes one update of preferences; `lr` is that of this step. Every rank is given the micro-batches
 *  of all, and computes its own. */
export interface PreferenceStepFunction {
  (
    microBatches: readonly (readonly PreferencePair[])[],
    options: { readonly lr: number },
  ): Promise<PreferenceResult>
  readonly state: TrainStep
  /** Frees the moments and the reference; the model stays open. */
  close(): Promise<void>
}

/**
 * Prepares training of a model by preferences. The reference is the model as it is now: with an adapter the
 * weights without it, else a copy of the weights. Throws RangeError or TypeError naming the option.
 */
export async function createPreferenceStep(
  model: LanguageModel,
  options: PreferenceStepOptions = {},
): Promise<PreferenceStepFunction> {
  checkModel("createPreferenceStep", model)
  checkObject("createPreferenceStep: options", options)
  const {
    loss,
    beta = 0.1,
    labelSmoothing,
    accumulation = 1,
    reference = "model",
    ...rest
  } = options
  if (reference !== "model" && reference !== "given") {
    throw new RangeError(`reference must be "model" or "given", got ${String(reference)}`)
  }
  checkNumberOf("beta", beta, isPositive, "above 0")
  checkWhole("accumulation", accumulation, 1)
  if (rest.shard === "full" && !rest.adapter && reference === "model") {
    throw new RangeError(
      'shard "full" has no room for a copy of the weights as they were. Give reference "given", with log-probabilities ' +
        'that were computed before, or shard "state"',
    )
  }
  const objective = objectives.preference({
    beta,
    parts: accumulation,
    logits: true,
    ...(loss !== undefined && { loss }),
    ...(labelSmoothing !== undefined && { labelSmoothing }),
  })
  const training = { betas: [0.9, 0.999] as const, weightDecay: 0, ...rest }
  const fixed = { objective, accumulation, ignoreIndex: ignoredLabel, accumulate: "mean" as const }
  const state = await TrainStep.create(model, { ...training, ...fixed })
  const copied = await (reference === "given" ? undefined : frozen(model, rest.adapter))?.catch(
    async (error: unknown) => {
      await state.close()
      throw error
    },
  )
  const { decoder } = internals(model)
  const before = copied ? { ...decoder, weights: copied.weights } : decoder
  const scorer = new ReferenceScorer(model, before)
  const update = async (
    microBatches: readonly (readonly PreferencePair[])[],
    each: { readonly lr: number },
  ): Promise<PreferenceResult> => {
    checkObject("preference step: options", each)
    if (!Array.isArray(microBatches) || microBatches.length !== accumulation) {
      const got = Array.isArray(microBatches) ? microBatches.length : "none"
      throw new RangeError(`preference step: expected ${accumulation} micro-batches, got ${got}`)
    }
    const { ranks } = state.settings
    const { maxContext } = model.config
    // All of them decide how long a row is.
    const all = pairRows("preference step", microBatches, maxContext)
    const rows = all.inputs.length / accumulation
    const isOwn = (_: unknown, row: number): boolean =>
      Math.floor(row / rows) % ranks.size === ranks.rank
    const [inputs, targets] = [all.inputs.filter(isOwn), all.targets.filter(isOwn)]
    const local = { ...state.settings, accumulation: accumulation / ranks.size }
    const { B, T, parts } = checkBatch(model.config, local, inputs, targets)
    const scored = (): Promise<Float32Array> =>
      state.still(async () => {
        const sums = new Float32Array(B)
        for (const [i, part] of parts.entries())
          sums.set(await scorer.score(part, rows, T), i * rows)
        return sums
      })
    const own = ownOf(microBatches, ranks)
    const given = reference === "given" ? givenOf("preference step", own) : await scored()
    const found = await state.run(inputs, targets, { lr: each.lr, given })
    const { loss, gradNorm, sequences } = found
    const numbers = [...(sequences as readonly Float32Array[]), given]
    const [sums, logits, references] = (await ofAllRows(ranks, numbers, rows)) as Rows
    const metrics = metricsOf(sums, references, rows, beta)
    return { loss, gradNorm, ...metrics, ...meanLogits(logits, countsOf(all.targets), rows) }
  }
  const close = async (): Promise<void> => {
    await state.close()
    scorer.close()
    copied?.free()
  }
  return Object.assign(update, { state, close })
}

/** A copy of the weights that are about to move; none where they stay. */
async function frozen(
  model: LanguageModel,
  adapter: Adapter | undefined,
): Promise<LoadedWeights | undefined> {
  if (adapter) return undefined
  const { config, backend, tensors } = model
  return internals(model).reading(() =>
    copyWeights(config, backend, { tensors, tables: internals(model).tables }),
  )
}

type Rows = readonly [sums: Float32Array, logits: Float32Array, references: Float32Array]

/** Numbers of the rows of all micro-batches, from those of this rank's own. */
async function ofAllRows(
  ranks: Communicator,
  own: readonly Float32Array[],
  rows: number,
): Promise<readonly Float32Array[]> {
  const count = ((own[0]?.length ?? 0) / rows) * ranks.size
  const all = await sharedNumbers(ranks, { count, width: own.length * rows }, async (part) => {
    const at = Math.floor(part / ranks.size) * rows
    return own.flatMap((numbers) => [...numbers.subarray(at, at + rows)])
  })
  const ofPart = (i: number) => all.flatMap((found) => found.slice(i * rows, (i + 1) * rows))
  return own.map((_, i) => Float32Array.from(ofPart(i)))
}

/** Targets that count, of each row. */
const countsOf = (targets: readonly ArrayLike<number>[]): number[] =>
  targets.map((row) => Array.from(row).filter((label) => label !== ignoredLabel).length)

/** Means over the targets that count of all chosen answers, and of the others. */
function meanLogits(sums: Float32Array, counts: readonly number[], rows: number) {
  const mean = (isOf: (n: number) => boolean): number => {
    const total = (x: ArrayLike<number>): number =>
      Array.from(x).reduce((sum, value, i) => (isOf(i % rows) ? sum + value : sum), 0)
    return total(sums) / total(counts)
  }
  return { chosenLogits: mean((n) => n < rows / 2), rejectedLogits: mean((n) => n >= rows / 2) }
}

/** Means over all pairs; rows of each micro-batch are its chosen answers, then the others. */
export function metricsOf(sums: Float32Array, given: Float32Array, rows: number, beta: number) {
  const pairs = sums.length / 2
  let [chosen, rejected, right, chosenLog, rejectedLog] = [0, 0, 0, 0, 0]
  for (let at = 0; at < sums.length; at += rows) {
    for (let n = at; n < at + rows / 2; n++) {
      const other = n + rows / 2
      const reward = (i: number) => beta * ((sums[i] as number) - (given[i] as number))
      chosen += reward(n)
      rejected += reward(other)
      right += Number(reward(n) > reward(other))
      chosenLog += sums[n] as number
      rejectedLog += sums[other] as number
    }
  }
  return {
    chosenRewards: chosen / pairs,
    rejectedRewards: rejected / pairs,
    accuracy: right / pairs,
    margin: (chosen - rejected) / pairs,
    chosenLogProb: chosenLog / pairs,
    rejectedLogProb: rejectedLog / pairs,
  }
}
