// What an objective of tuning is: what its records become, and the step that these make. Each is a file beside
// this one and a line in the list (index.ts); opening, order, validation and checkpoints are tuning.ts's.
import type { Adapter, ChatTemplates, LanguageModel, Tokenizer } from "../../model/index.ts"
import type { Communicator } from "../parallel/communicator.ts"
import type { Labelled } from "../preference/batch.ts"
import type { FieldList } from "../run/field_list.ts"
import type { Losses, Validation } from "../run/metrics.ts"
import type { Spelling } from "../spelling.ts"
import type { TrainStep } from "../step/step.ts"
import type { TuneSettings } from "./fields.ts"
import type { OrderOf } from "./order.ts"

type Json = Readonly<Record<string, unknown>>

/** What is open while a run is. */
export interface TuningModel {
  readonly model: LanguageModel
  readonly tokenizer: Tokenizer
  readonly templates: ChatTemplates
  /** What is trained; none where the weights are. */
  readonly adapter: Adapter | undefined
}

/** What an objective is made of examples with. */
export interface Learnt<S, E> extends TuningModel {
  /** Processes that make the run together: each has its share of an update's micro-batches. */
  readonly ranks: Communicator
  readonly settings: S
  /** What is trained on, then what is validated on. */
  readonly training: readonly E[]
  readonly validation: readonly E[]
  /** What tells the examples, and the weights without an adapter, from others; "" of weights that are trained. */
  readonly identity: { readonly examples: string; readonly base: string }
  /** Whether it goes on, so that the model is not as it began. */
  readonly isResumed: boolean
  /** A file beside the run's checkpoints. */
  fileOf(name: string): string
  /** Ends what comes before the first update. */
  readonly signal: AbortSignal | undefined
  onProgress(what: string, part?: number): void
}

/** What an update of examples was. */
interface Learned {
  readonly gradNorm: number
  readonly positions: number
  readonly counted: number
  readonly ms: number
}

/** A step with what it needs. */
export interface Learner {
  readonly step: TrainStep
  /** What a person wants to know of it, a line each. */
  readonly about: readonly string[]
  /** One update by micro-batches of rows of examples, which are places in `training`; those of all ranks. */
  update(microBatches: readonly (readonly (readonly number[])[])[], lr: number): Promise<Learned>
  /** Losses since it was last asked. */
  report(): Losses
  /** Of all examples of the validation. */
  evaluate(): Promise<Omit<Validation, "step">>
  /** Frees all but the model. */
  close(): Promise<void>
}

/** An objective of tuning, whose examples are E. */
export interface TuneObjective<S extends TuneSettings, E> {
  /** In state.json, and of its command. */
  readonly name: string
  readonly description: string
  readonly list: FieldList
  /** Throws RangeError for settings that do not go together. */
  check?(settings: S, from: string, spelled: Spelling): void
  /** Examples of a record. Throws saying what is wrong with it. */
  examplesOf(record: Json, settings: S, opened: TuningModel): Promise<readonly E[]>
  /** The texts of an example. */
  textsOf(example: E): readonly Labelled[]
  orderOf(settings: S): OrderOf
  /** Positions of a row that several examples share; undefined where each has its own. */
  windowOf?(settings: S, model: LanguageModel): number | undefined
  learnerOf(learnt: Learnt<S, E>): Promise<Learner>
}
