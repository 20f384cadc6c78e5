// Evaluation: tasks, their data, and what a model scores on them.
export { evaluate } from "./evaluate.ts"
export {
  type Comparison,
  type GenerationTask,
  generationTask,
  regexFilter,
} from "./kinds/generation.ts"
export { type LogLikelihoodTask, logLikelihoodTask } from "./kinds/log_likelihood.ts"
export { type MultipleChoice, multipleChoice } from "./kinds/multiple_choice.ts"
export { type PerplexityTask, perplexityTask } from "./kinds/perplexity.ts"
export type { Declared, DerivedField } from "./kinds/shared.ts"
export type { StandardError } from "./metrics.ts"
export type { EvaluateOptions, EvaluationProgress } from "./options.ts"
export { loadTask } from "./own/load.ts"
export type { Results, TaskResults } from "./results.ts"
export type { Sample } from "./scoring.ts"
export type {
  AggregationName,
  Answer,
  Document,
  Filter,
  Generation,
  Group,
  LogLikelihood,
  Metric,
  Pair,
  Request,
  Scorer,
  Source,
  Splits,
  Task,
  Value,
  Work,
} from "./types.ts"
