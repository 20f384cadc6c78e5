// Log-probabilities of whole answers under a model that does not move.
import {
  type Backend,
  type Plan,
  type Prepared,
  plan,
  planStages,
  readBound,
  type Tensor,
  type Update,
} from "../../engine/index.ts"
import { type Decoder, Holder, internals, type LanguageModel } from "../../model/index.ts"
import { sequenceLogProbs } from "../objectives/preference.ts"
import { partedWeights, type ShardedWeights } from "../parallel/weights.ts"
import type { MicroBatch } from "../step/batch.ts"
import { recordStep } from "../step/graph.ts"
import { type Needs, needsOf, throughStages } from "../step/needs.ts"
import { allocateBatch, forwardStages, uploadRows } from "../step/plans.ts"
import { ignoredLabel } from "./batch.ts"

interface Scoring {
  readonly B: number
  readonly T: number
  readonly batch: Readonly<Record<"tokens" | "targets" | "starts", Tensor>>
  readonly sums: Tensor // (B)
  readonly prepared: Prepared
  readonly held: Holder
}

/** Sums over the labels that count, batch by batch; the plan of the last shape is kept. Where no rank keeps the model's
 *  weights whole, all ranks score together: those that have nothing to score accompany the others. */
export class ReferenceScorer {
  readonly #decoder: Decoder
  readonly #backend: Backend
  readonly #weights: ShardedWeights | undefined
  #scoring: Scoring | undefined
  /** Those of any batch. */
  #needs: Needs | undefined

  /** decoder: the model's with an adapter, or with other weights; default its own. */
  constructor(model: LanguageModel, decoder = internals(model).decoder) {
    this.#decoder = decoder
    this.#backend = model.backend
    this.#weights = partedWeights(model)
  }

  /** One sum for each row. */
  async score(part: MicroBatch, B: number, T: number): Promise<Float32Array> {
    const { batch, sums, prepared } = this.#prepare(B, T)
    uploadRows(this.#backend, batch, part)
    await this.#through(prepared)
    return (await readBound(sums, this.#backend)) as Float32Array
  }

  /** Takes part in a score of the others, where ranks have parts of the weights. */
  async accompany(): Promise<void> {
    if (this.#weights) await this.#through(undefined)
  }

  close(): void {
    this.#scoring?.prepared.close()
    this.#scoring?.held.free()
    this.#scoring = undefined
  }

  #prepare(B: number, T: number): Scoring {
    if (this.#scoring?.B === B && this.#scoring.T === T) return this.#scoring
    this.close()
    const held = new Holder(this.#backend)
    try {
      const { plan, ...recorded } = this.#record(B, T, held)
      this.#scoring = { B, T, ...recorded, prepared: this.#backend.prepare(plan), held }
      return this.#scoring
    } catch (error) {
      held.free()
      throw error
    }
  }

  async #through(prepared: Prepared | undefined): Promise<void> {
    const weights = this.#weights
    if (!weights) return prepared?.run()
    this.#needs ??= this.#needsOfAny(weights)
    await throughStages(this.#needs, weights, (stage) => prepared?.run(stage))
  }

  /** Of the smallest batch, as of every other. */
  #needsOfAny(weights: ShardedWeights): Needs {
    const held = new Holder(this.#backend)
    try {
      return needsOf(this.#record(1, 1, held).plan, weights)
    } finally {
      held.free()
    }
  }

  #record(B: number, T: number, held: Holder) {
    const batch = allocateBatch(B, T, held)
    const objective = sequenceLogProbs
    const settings = { ignoreIndex: ignoredLabel, objective, checkpointActivations: false }
    const { sequences, phases } = recordStep(this.#decoder, [], batch, settings)
    const sums = held.allocate([B])
    const updates: Update[] = [[sums, sequences[0] as Tensor]]
    const whole = (): Plan => plan(updates, this.#backend)
    const parted = (): Plan => planStages(forwardStages(phases, updates), this.#backend)
    return { batch, sums, plan: this.#weights ? parted() : whole() }
  }
}
