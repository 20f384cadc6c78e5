// Supervised fine-tuning: cross-entropy of answers, or of whole texts.
import * as v from "valibot"
import { choice, flag, whole } from "../../model/schema.ts"
import { ownOf } from "../parallel/share.ts"
import { ignoredLabel, type Labelled } from "../preference/batch.ts"
import { ReferenceScorer } from "../preference/reference.ts"
import { notNegative, text } from "../run/field_list.ts"
import type { EvaluationMetrics } from "../run/metrics.ts"
import type { TrainOptions } from "../step/options.ts"
import type { StepResult } from "../step/shared.ts"
import { TrainStep } from "../step/step.ts"
import { trainedOf } from "../step/trained.ts"
import { data, isText, optimization, type TuneSettings, tuneFields } from "./fields.ts"
import type { Learner, Learnt, TuneObjective, TuningModel } from "./objective.ts"
import { releaseOrder } from "./order.ts"
import { batchRows, countedIn, logProbsOf, rowLength } from "./rows.ts"
import { labelledOf } from "./texts.ts"

const list = tuneFields("sft", {
  lossOn: data(
    v.optional(choice("answers", "all"), "answers"),
    "what carries a loss: the answers, or all of the text",
  ),
  sequenceLength: data(v.optional(whole(2), 1024), "tokens of a text, which is cut there"),
  pack: data(
    v.optional(flag, false),
    "put texts that do not see each other into rows of that length, instead of padding each",
  ),
  chatTemplate: data(v.optional(text), "name of the model's template, or a Jinja text", { isText }),
  accumulate: optimization(
    v.optional(choice("sum", "mean"), "mean"),
    "whether gradients of micro-batches are averaged or, as the release did, summed",
    { idle: ["accumulation", 1] },
  ),
  zLoss: optimization(v.optional(notNegative, 0), "weight of the z-loss"),
})

/** Settings of a run of supervised fine-tuning, as its fields check them. */
export type SftSettings = v.InferOutput<typeof list.schema>

export const sft: TuneObjective<SftSettings, Labelled> = {
  name: "sft",
  description: "tune a model on instructions and conversations",
  list,
  async examplesOf(record, settings, opened) {
    const { lossOn, chatTemplate } = settings
    const most = lengthOf(settings, opened) + 1
    const options = { lossOn, most, ...(chatTemplate !== undefined && { chatTemplate }) }
    return [await labelledOf(record, opened, options)]
  },
  textsOf: (example) => [example],
  orderOf: ({ seed }) => releaseOrder(seed),
  windowOf: (settings, model) => (settings.pack ? lengthOf(settings, { model }) : undefined),
  async learnerOf({ settings, training, validation, ...opened }) {
    const { accumulate, zLoss } = settings
    const options = { ...stepOptionsOf(settings, opened), accumulate, zLoss }
    const length = settings.pack ? lengthOf(settings, opened) : undefined
    const evaluate = (logProbs: LogProbs) => evaluationOf(validation, logProbs)
    return labelledLearner(opened, options, { training, length, evaluate })
  },
}

const lengthOf = (
  { sequenceLength }: Pick<SftSettings, "sequenceLength">,
  { model }: Pick<TuningModel, "model">,
): number => Math.min(sequenceLength, model.config.maxContext)

/** What a step of any objective is made with. */
export function stepOptionsOf(
  settings: TuneSettings,
  { adapter, ranks }: Pick<Learning, "adapter" | "ranks">,
): TrainOptions {
  const { optimizer, betas, eps, weightDecay, clip } = settings
  const { accumulation, checkpointActivations, shard = "none" } = settings
  return {
    ...{ optimizer, betas, eps, weightDecay, clip, accumulation, checkpointActivations },
    ...{ ignoreIndex: ignoredLabel, ranks, shard },
    ...(adapter && { adapter }),
  }
}

/** A model that ranks train. */
type Learning = TuningModel & Pick<Learnt<TuneSettings, never>, "ranks">

interface LabelledData {
  readonly training: readonly Labelled[]
  /** Positions of rows that texts share; of each its own where there are none. */
  readonly length: number | undefined
  /** What a validation finds by sums of log-probabilities of texts. */
  evaluate(logProbs: LogProbs): Promise<Omit<EvaluationMetrics, "step">>
}

type LogProbs = (texts: readonly Labelled[]) => Promise<readonly number[]>

/** Learns the labels of texts. */
export async function labelledLearner(
  opened: Learning,
  options: TrainOptions,
  { training, length, evaluate }: LabelledData,
): Promise<Learner> {
  const { model, adapter, ranks } = opened
  const step = await TrainStep.create(model, options)
  const scorer = new ReferenceScorer(model, trainedOf(model, adapter).decoder)
  let result: StepResult | undefined
  let size = 1
  return {
    step,
    about: [],
    async update(microBatches, lr) {
      const rows = microBatches.flat().map((row) => row.map((i) => training[i] as Labelled))
      size = microBatches[0]?.length ?? 1
      const longest = Math.max(...rows.flat().map(({ ids }) => ids.length - 1))
      const T = length ?? rowLength(longest, model.config.maxContext)
      const own = ownOf(microBatches, ranks).flat()
      const texts = own.map((row) => row.map((i) => training[i] as Labelled))
      const { inputs, targets, starts } = batchRows(texts, T)
      const start = performance.now()
      result = await step.run(inputs, targets, { lr, starts })
      const ms = performance.now() - start
      const counted = rows.flat().reduce((sum, each) => sum + countedIn(each), 0)
      return { gradNorm: result.gradNorm, positions: rows.length * T, counted, ms }
    },
    report() {
      const { loss, ce, z } = result as StepResult
      return { loss, ce, z }
    },
    evaluate: () =>
      step.still(() => evaluate((texts) => logProbsOf(scorer, model, texts, size, ranks))),
    async close() {
      scorer.close()
      await step.close()
    },
  }
}

async function evaluationOf(
  validation: readonly Labelled[],
  logProbs: LogProbs,
): Promise<Omit<EvaluationMetrics, "step">> {
  const sums = await logProbs(validation)
  const tokens = validation.reduce((sum, each) => sum + countedIn(each), 0)
  const loss = -sums.reduce((a, b) => a + b, 0) / tokens
  return {
    validation_loss: loss,
    validation_perplexity: Math.exp(loss),
    validation_tokens: tokens,
  }
}
