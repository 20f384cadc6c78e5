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
  type DataConfig,
  type DataOptions,
  loadDataConfig,
  type PipelineOptions,
  type PipelineState,
  type Sample,
  type Source,
  type TextPipeline,
  textPipeline,
} from "./data/index.ts"
export type { TrainOptions } from "./options.ts"
export { learningRate, type Schedule } from "./schedule.ts"
export { type StepOptions, type StepResult, TrainStep } from "./step.ts"
