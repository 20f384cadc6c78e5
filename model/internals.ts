// What the trainer and the benchmarks need of a model, beside what everybody does.
import type { Plan, Tensor } from "../engine/index.ts"
import type { Host } from "./adapters/adapter.ts"
import type { AdapterSlot } from "./adapters/slot.ts"
import type { Speaker } from "./chat/chat.ts"
import type { ChatTemplates } from "./chat/templates.ts"
import type { Decoder } from "./forward.ts"
import {
  type ContinuationScore,
  type ScoringWork,
  scoreContinuations,
} from "./generate/continuations.ts"
import type { Continued } from "./generate/passes.ts"
import { sessionOf } from "./generate/source.ts"
import type { LanguageModel } from "./language_model.ts"
import type { RecorderOf } from "./recorder.ts"
import { Serving, type ServingOptions } from "./serving.ts"
import { identityOf } from "./weights/identity.ts"
import type { Check } from "./weights/restore.ts"
import type { WeightHome } from "./weights/weights.ts"

/** What is asked of a model beside its public options. */
export interface Placement {
  /** Tensors of f32 for which to leave room beside each weight, so that what belongs together lies in
   *  one memory: 3 before training (two moments and a gradient). Default 0. */
  readonly room?: number
  /** Where weights lie that are not kept whole; then nothing but a training step that knows of it may use the
   *  model. */
  readonly home?: WeightHome
  /** Puts a weight into its memory, in place of seeded numbers. */
  readonly fill?: (name: string, target: Tensor) => Promise<void>
  /** Weights of which those are to have shapes and dtypes; default as the model's dtype has it. */
  readonly like?: ReadonlyMap<string, Tensor>
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
  /** How likely continuations are, through the model's adapter if there is one: of all that begin alike,
   *  the beginning is read once. Each may be of one token more than the cache holds. */
  score(requests: readonly Continued[], work?: ScoringWork): Promise<ContinuationScore[]>
  /** What tells the weights, and the adapter that requests go through, from others. It reads all of them. */
  identity(): Promise<string>
  /** How messages become a text. */
  templates(): Promise<ChatTemplates>
  /** One batch that many requests share, for each adapter that they go through; to be closed before the model and
   *  its adapters. */
  servings(options?: ServingOptions): Serving[]
  /** What follows from the config, by name. */
  readonly tables: ReadonlyMap<string, Tensor>
  /** What an adapter needs of the model that it is beside. */
  readonly host: Host
  /** The same weights, recorded in another way; freed with this model. */
  variant(recorderOf: RecorderOf): LanguageModel
}

/** Of the weights as they are; scores go where requests go. `variant` makes a model of the same weights. */
export function internalsOver(
  slot: AdapterSlot,
  speakerOf: (options: object) => Speaker,
  variant: Internals["variant"],
): Internals {
  const { base: source, host } = slot
  const { decoder, tables, usage, residence, pool } = source
  return {
    decoder,
    host,
    tables,
    templates: () => speakerOf({}).templates(),
    identity: () => usage.reading(() => residence.during(() => identityOf(slot.source))),
    get decodePlan() {
      usage.check()
      const session = sessionOf(source, (kind, open) => pool.acquire(kind, open))
      pool.release(session)
      return session.decodePlan
    },
    reading: (work) => usage.reading(() => residence.during(work)),
    training: (work) => usage.writing(() => residence.training(work)),
    servings: ({ adapters = [null], ...options } = {}) =>
      Serving.of(
        adapters.map((adapter) => speakerOf({ adapter })),
        options,
      ),
    score: (requests, work) => scoreContinuations(slot.source, requests, work),
    variant(recorderOf) {
      usage.check()
      return variant(recorderOf)
    },
  }
}
