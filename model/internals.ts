// What the trainer and the benchmarks need of a model, beside what everybody does.
import type { Plan } from "../engine/index.ts"
import type { Decoder } from "./forward.ts"
import type { LanguageModel } from "./language_model.ts"
import type { RecorderOf } from "./recorder.ts"
import type { Check } from "./weights/restore.ts"

/** What is asked of a model beside its public options. */
export interface Placement {
  /** Tensors of f32 for which to leave room beside each weight, so that what belongs together lies in
   *  one memory: 3 before training (two moments and a gradient). Default 0. */
  readonly room?: number
}

/** What the trainer and the benchmarks need of a model. */
export interface Internals {
  readonly decoder: Decoder
  /** The plan of one decode step, for printing and counting. */
  readonly decodePlan: Plan
  /** What `work` gives while nothing moves the weights or frees them. It may ask on its way whether
   *  they are lost. */
  reading<T>(work: (check: Check) => Promise<T>): Promise<T>
  /** The same for work that moves the weights, which nothing else uses meanwhile. */
  training<T>(work: (check: Check) => Promise<T>): Promise<T>
  /** The same weights, recorded in another way; freed with this model. */
  variant(recorderOf: RecorderOf): LanguageModel
}
