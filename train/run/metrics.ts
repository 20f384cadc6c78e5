// What a run reports as it goes: the lines of metrics.jsonl.

/** What every line of metrics has. */
export interface LossMetrics {
  readonly step: number
  readonly loss: number
  readonly lr: number
  readonly grad_norm: number
  /** Targets that carried a loss, so far. */
  readonly tokens: number
  /** Positions, ignored ones too, per second since the line before. */
  readonly tokens_per_second: number
  /** Products and attention, as a part of the machine's multiply-add rate, where that is known. */
  readonly mul_add_fraction?: number
}

/** One line of metrics. */
export interface StepMetrics extends LossMetrics {
  readonly ce: number
  readonly z: number
}

/** Preferences, as TRL names what they are measured by: means over the pairs of a line or a validation. */
export interface PairMetrics {
  /** β times how much likelier an answer has become than under the reference. */
  readonly "rewards/chosen": number
  readonly "rewards/rejected": number
  /** Part of the pairs whose chosen answer has the greater reward. */
  readonly "rewards/accuracies": number
  readonly "rewards/margins": number
  /** Log-probabilities of whole answers. */
  readonly "logps/chosen": number
  readonly "logps/rejected": number
}

/** One line of metrics of preference tuning, of which the loss is a mean too. */
export interface PreferenceMetrics extends LossMetrics, PairMetrics {
  /** Mean logits, over the vocabulary and the positions whose labels count. */
  readonly "logits/chosen": number
  readonly "logits/rejected": number
}

/** A validation: mean cross-entropy in nats, and its perplexity. */
export interface EvaluationMetrics {
  readonly step: number
  readonly validation_loss: number
  readonly validation_perplexity: number
  readonly validation_tokens: number
  /** Of a reward model: the part of the pairs that it ranks right. */
  readonly validation_accuracy?: number
}

/** A validation of preferences: the mean loss, and what the pairs are measured by. */
export interface PreferenceEvaluation extends PairMetrics {
  readonly step: number
  readonly validation_loss: number
}

/** What a line has of losses, and what a validation found, of any kind of run. */
export type Losses = Omit<StepMetrics | PreferenceMetrics, keyof LossMetrics> & {
  readonly loss: number
}
/** What a validation gives, by name. */
export type Validation = EvaluationMetrics | PreferenceEvaluation

/** A sample of text. */
export interface SampleMetrics {
  readonly step: number
  readonly sample: string
}

/** Any line of metrics.jsonl. */
export type Metrics = StepMetrics | PreferenceMetrics | Validation | SampleMetrics
