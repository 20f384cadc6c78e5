// Training: steps, schedule, data, checkpoints.
import type { RsoSettings } from "./rso/fields.ts"
import type { RsoOptions } from "./rso/index.ts"
import type { RunOptions, RunResult } from "./run/run.ts"
import type { TuneFields, TuneName } from "./tune/index.ts"

export {
  type CheckedSource,
  type DataConfig,
  type DataOptions,
  loadDataConfig,
  type Normalization,
  type PipelineOptions,
  type PipelinePlace,
  type PipelinePosition,
  type PipelineSplit,
  type PipelineState,
  type Sample,
  type Source,
  type TextPipeline,
  textPipeline,
} from "./data/index.ts"
export {
  type BatchSizes,
  type CrossEntropyOptions,
  type Objective,
  objectives,
  type PreferenceLoss,
  type PreferenceOptions,
  type RowLosses,
} from "./objectives/index.ts"
export {
  type AdamWOptions,
  type Magnitudes,
  type Optimizer,
  type OptimizerName,
  optimizers,
  type SgdOptions,
  type UpdateOf,
} from "./optimizers/index.ts"
export type { ByteRange, Communicator } from "./parallel/communicator.ts"
export { ranksInMemory } from "./parallel/memory.ts"
export type { Labelled, PreferencePair } from "./preference/batch.ts"
export { type InstructionRecord, instructionText } from "./preference/instruction.ts"
export {
  type CosineSchedule,
  cosineRate,
  numpyPermutation,
  torchPermutation,
} from "./preference/order.ts"
export {
  type RankedPair,
  type RejectionSampling,
  rankPairs,
  rejectionSample,
  rewardOf,
} from "./preference/rejection.ts"
export {
  createPreferenceStep,
  type PreferenceResult,
  type PreferenceStepFunction,
  type PreferenceStepOptions,
} from "./preference/step.ts"
export {
  type PreferenceLimits,
  type PreferenceRecord,
  preferenceTexts,
  type TokenizedPreference,
  tokenizePreference,
} from "./preference/tokenize.ts"
export type { Settings } from "./run/fields.ts"
export type {
  EvaluationMetrics,
  LossMetrics,
  Metrics,
  PairMetrics,
  PreferenceEvaluation,
  PreferenceMetrics,
  SampleMetrics,
  StepMetrics,
  Validation,
} from "./run/metrics.ts"
export type { RunInfo, RunMemory, RunOptions, RunResult } from "./run/run.ts"
export { learningRate, type Schedule } from "./run/schedule.ts"
export type { BestValidation } from "./run/state.ts"
export { train } from "./run/train.ts"
export type { StateBytes } from "./step/amounts.ts"
export {
  createTrainStep,
  type LossAndGradients,
  type LossOptions,
  lossAndGradients,
  type TrainStepFunction,
} from "./step/api.ts"
export type { Batch } from "./step/batch.ts"
export type { Evaluation } from "./step/evaluation.ts"
export type { GraphSettings } from "./step/graph.ts"
export type { LossSettings } from "./step/head.ts"
export type { Sharding, TrainOptions, TrainSettings } from "./step/options.ts"
export type { StepResult } from "./step/shared.ts"
export { type StepOptions, TrainStep } from "./step/step.ts"
export type { OwnedPart, Parameter, UpdateSettings } from "./step/update.ts"
export type { DpoSettings } from "./tune/dpo.ts"
export type { RewardSettings } from "./tune/reward.ts"
export type { SftSettings } from "./tune/sft.ts"

/** Statistical rejection sampling as `elm tune rso` does it: see `RsoOptions`. undefined where the signal ended it
 *  before the tuning. Throws as `tune` does, and for rewards that are none. */
export async function rejectionTune(
  settings: Partial<RsoSettings>,
  options: RsoOptions,
): Promise<RunResult | undefined> {
  const { rejectionTune: run } = await import("./rso/index.ts")
  return run(settings, options)
}

export type { RsoSettings } from "./rso/fields.ts"
export type { RsoOptions } from "./rso/index.ts"
export type { AnswerScorer, ScoreRequest } from "./rso/score.ts"
export type { TuneFields, TuneName } from "./tune/index.ts"

/**
 * Tunes a model as `elm tune` does: settings left out have the command's defaults. Where a device is lost it goes
 * on with another one from the last checkpoint of this run. Throws Error for files, TypeError and RangeError
 * naming the field for settings that do not fit, and the record for data that cannot be used.
 */
export async function tune<N extends TuneName>(
  objective: N,
  settings: TuneFields[N],
  options: RunOptions,
): Promise<RunResult> {
  // Not above: a page that loads the package has no need of what checks settings.
  const { tune: run } = await import("./tune/index.ts")
  return run(objective, settings, options)
}

/** Settings of a run with their defaults, as `train` takes them; a configuration file has the same fields,
 *  `batchSize` as `batch_size`. Throws naming the field. */
export async function trainingSettings(fields: object) {
  const { checkSettings } = await import("./run/settings.ts")
  return checkSettings(fields, "settings")
}
