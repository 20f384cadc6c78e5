// What a run reports as it goes: the lines of metrics.jsonl.

/** One line of metrics. */
export interface StepMetrics {
  readonly step: number
  readonly loss: number
  readonly ce: number
  readonly z: number
  readonly lr: number
  readonly grad_norm: number
  /** Targets that carried a loss, so far. */
  readonly tokens: number
  /** Positions, ignored ones too, per second since the line before. */
  readonly tokens_per_second: number
  /** Products and attention, as a part of the machine's multiply-add rate, where that is known. */
  readonly mul_add_fraction?: number
}

/** A validation: mean cross-entropy in nats, and its perplexity. */
export interface EvaluationMetrics {
  readonly step: number
  readonly validation_loss: number
  readonly validation_perplexity: number
  readonly validation_tokens: number
}

/** A sample of text. */
export interface SampleMetrics {
  readonly step: number
  readonly sample: string
}

/** Any line of metrics.jsonl. */
export type Metrics = StepMetrics | EvaluationMetrics | SampleMetrics
