// Training: steps, schedule, data, checkpoints.
export {
  createTrainStep,
  type LossAndGradients,
  type LossOptions,
  lossAndGradients,
  type TrainStepFunction,
} from "./api.ts"
export type { Batch } from "./batch.ts"
export {
  type CheckedSource,
  type DataConfig,
  type DataOptions,
  loadDataConfig,
  type Normalisation,
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
export type { GraphSettings } from "./graph.ts"
export type { LossSettings } from "./loss.ts"
export type { EvaluationMetrics, Metrics, SampleMetrics, StepMetrics } from "./metrics.ts"
export type { OptimiserSettings, Parameter } from "./optimiser.ts"
export type { TrainOptions, TrainSettings } from "./options.ts"
export type { RunInfo, RunMemory, RunOptions, RunResult } from "./run.ts"
export { learningRate, type Schedule } from "./schedule.ts"
export type { Settings } from "./settings.ts"
export { type Evaluation, type StepOptions, type StepResult, TrainStep } from "./step.ts"
export { train } from "./trainer.ts"

/** Settings of a run with their defaults, as `train` takes them. Throws naming the field. */
export async function trainingSettings(fields: object) {
  const { checkSettings } = await import("./settings.ts")
  return checkSettings(fields, "settings")
}
