// Evaluation: tasks, their data, and what a model scores on them.
export { evaluate } from "./evaluate.ts"
export { type Comparison, regexFilter, type Written, written } from "./kinds/generate.ts"
export { type Continued, continued } from "./kinds/log_likelihood.ts"
export { type MultipleChoice, multipleChoice } from "./kinds/multiple_choice.ts"
export { type WholeText, wholeText } from "./kinds/rolling.ts"
export type { Declared } from "./kinds/shared.ts"
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
