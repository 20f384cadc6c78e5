// What differs from one kind of run to another: where examples come from, the step that they make, what is
// validated and written as samples. The loop around it (trainer.ts), checkpoints, log and display are shared.
import type { LanguageModel, Tokenizer } from "../../model/index.ts"
import type { Communicator } from "../parallel/communicator.ts"
import type { Fields } from "../spelling.ts"
import type { TrainStep } from "../step/step.ts"
import type { Losses, Validation } from "./metrics.ts"
import type { RunOptions } from "./run.ts"
import type { RunState } from "./state.ts"

/** What the loop needs of a run's settings, whatever it trains. */
export interface LoopSettings {
  readonly out: string
  /** Samples of an update, and the micro-batches that these make. */
  readonly batchSize: number
  readonly accumulation: number
  /** Updates between these; 0 for none, of checkpoints and validations but the last. */
  readonly logEvery: number
  readonly evalEvery: number
  readonly sampleEvery: number
  readonly saveEvery: number
  /** Checkpoints that are kept, the last ones. */
  readonly keep: number
  /** Whether the checkpoint of the best validation is kept too. */
  readonly keepBest?: boolean
  /** Validations without a better one after which the run ends; 0 for never. */
  readonly patience?: number
}

/** What an update was, beside its metrics. */
export interface Updated {
  readonly lr: number
  readonly gradNorm: number
  /** Positions that were computed, ignored ones too. */
  readonly positions: number
  /** Targets that carried a loss. */
  readonly counted: number
  /** Milliseconds in the step itself. */
  readonly ms: number
}

/** What a run repeats. */
export interface Work {
  readonly model: LanguageModel
  readonly tokenizer: Tokenizer
  /** What moves; its count of updates is the run's. */
  readonly step: TrainStep
  /** Updates in all. */
  readonly steps: number
  /** Samples of every validation. */
  readonly validation: number
  /** What a person wants to know of it at the start, a line each. */
  readonly about: readonly string[]
  /** Makes one update. */
  update(): Promise<Updated>
  /** Losses and the like since it was last asked, in the order in which a line has them. */
  report(): Losses
  /** undefined where there is nothing to validate on. */
  evaluate(): Promise<Validation | undefined>
  /** A sample of text; undefined where there is nothing to begin it with. */
  sample(): Promise<string | undefined>
  /** Where the data is after the last update, or a promise of it; JSON can hold it. All ranks ask together. */
  place(): unknown
  /** Frees all, the model too. */
  close(): Promise<void>
}

/** A kind of run, as its command and its checkpoints know it. */
export interface RunKind<S extends LoopSettings> {
  /** In state.json; none of pre-training. */
  readonly name: string | undefined
  /** What makes such runs, for messages. */
  readonly command: string
  /** Settings of a run that begins on several ranks. Throws RangeError where they do not share out. */
  sharedOut(settings: S, ranks: Communicator): S
  /** Settings as a run has written them. Throws naming `from` and the field. */
  check(written: Fields, from: string): Promise<S>
  /** The same as a checkpoint has them. */
  toWrite(settings: S): S
  /** Begins, or goes on from a checkpoint and its state. */
  open(settings: S, options: RunOptions, from?: Resumed<S>): Promise<Work>
}

/** What a run goes on from. */
export interface Resumed<S> {
  readonly checkpoint: string
  readonly state: RunState<S>
}
