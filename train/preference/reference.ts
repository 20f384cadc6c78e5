// Log-probabilities of whole answers under a model that does not move.
import {
  type Backend,
  bufferOf,
  type Prepared,
  plan,
  readBound,
  type Tensor,
} from "../../engine/index.ts"
import { type Decoder, Holder } from "../../model/index.ts"
import { sequenceLogProbs } from "../objectives/preference.ts"
import type { MicroBatch } from "../step/batch.ts"
import { recordStep } from "../step/graph.ts"
import { ignoredLabel } from "./batch.ts"

interface Scoring {
  readonly B: number
  readonly T: number
  readonly batch: Readonly<Record<"tokens" | "targets" | "starts", Tensor>>
  readonly sums: Tensor // (B)
  readonly prepared: Prepared
  readonly held: Holder
}

/** Sums over the labels that count, batch by batch; the plan of the last shape is kept. */
export class ReferenceScorer {
  readonly #decoder: Decoder
  readonly #backend: Backend
  #scoring: Scoring | undefined

  constructor(decoder: Decoder, backend: Backend) {
    this.#decoder = decoder
    this.#backend = backend
  }

  /** One sum for each row. */
  async score(part: MicroBatch, B: number, T: number): Promise<Float32Array> {
    const { batch, sums, prepared } = this.#prepare(B, T)
    this.#backend.write(bufferOf(batch.tokens), part.inputs)
    this.#backend.write(bufferOf(batch.targets), part.targets)
    this.#backend.write(bufferOf(batch.starts), part.starts)
    await prepared.run()
    return (await readBound(sums, this.#backend)) as Float32Array
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
      const batch = {
        tokens: held.allocate([B * T], "i32"),
        targets: held.allocate([B * T], "i32"),
        starts: held.allocate([B, T], "i32"),
        count: held.allocate([1]),
        given: held.allocate([B]),
      }
      const objective = sequenceLogProbs
      const settings = { ignoreIndex: ignoredLabel, objective, checkpointActivations: false }
      const {
        sequences: [found],
      } = recordStep(this.#decoder, [], batch, settings)
      const sums = held.allocate([B])
      const prepared = this.#backend.prepare(plan([[sums, found as Tensor]], this.#backend))
      this.#scoring = { B, T, batch, sums, prepared, held }
      return this.#scoring
    } catch (error) {
      held.free()
      throw error
    }
  }
}
