// What logits pass through before a token is chosen. By the rules of transformers 4.39, which reads them
// as this does: on the host, in f64, one row at a time.
import type { Tokenizer } from "../../tokenizer/index.ts"

/** Where a step stands. */
export interface Step {
  /** The prompt's tokens and all that were chosen after it. */
  readonly ids: readonly number[]
  readonly promptLength: number
  /** Tokens of prompt and continuation at most. */
  readonly longest: number
  /** Tokens that end a text. */
  readonly ends: readonly number[]
  /** Tokens that what draws from the likeliest leaves at least. */
  readonly keep: number
}

/** Alters the logits of the next token in place; -Infinity rules one out. */
export type Change = (scores: Float64Array, step: Step) => void

/** What ids and texts of an option must fit. */
export interface Vocabulary {
  readonly size: number
  readonly tokenizer: Tokenizer | undefined
}

/** An option of a generation that changes logits. */
export interface Processor<Given = unknown, Value = Given> {
  /** Its name in generation_config.json. */
  readonly field: string
  /** What it does, in a line. */
  readonly help: string
  /** What may be given, where that is a number. */
  readonly range?: Range
  /** It counts only where tokens are drawn, rather than the likeliest taken. */
  readonly isForSampling?: true
  /** The step that chooses a token on the device does the same. */
  readonly isOnDevice?: true
  /** The value. Throws TypeError or RangeError that begins with `name`. */
  check(given: Given, name: string, vocabulary: Vocabulary): Value
  /** Undefined for a value that changes nothing. */
  change(value: Value): Change | undefined
}

/** Numbers from `from`, or above `above`, to `to`. */
export interface Range {
  readonly from?: number
  readonly above?: number
  readonly to?: number
  readonly isWhole?: true
}
