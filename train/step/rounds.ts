// How ranks run a step: phase by phase, each layer's gradients on their way to those who sum them while the next
// layer's are computed; then the update, each of all weights or of its part.
import type { Backend, Prepared, Tensor } from "../../engine/index.ts"
import { ownedParts } from "../parallel/buckets.ts"
import { gatherParts } from "../parallel/gather.ts"
import { GradientSums } from "../parallel/sums.ts"
import type { Phase } from "./graph.ts"
import type { TrainSettings } from "./options.ts"
import type { StepPlans } from "./plans.ts"
import type { Parameter } from "./update.ts"

export class Rounds {
  readonly #parameters: readonly Parameter[]
  readonly #backend: Backend
  readonly #settings: TrainSettings
  readonly #sums: GradientSums
  readonly #numbers: ReadonlyMap<Tensor, number>

  constructor(parameters: readonly Parameter[], backend: Backend, settings: TrainSettings) {
    this.#parameters = parameters
    this.#backend = backend
    this.#settings = settings
    const { ranks } = settings
    const summed = parameters.map(({ gradient, index, owned }) => {
      return { gradient, parts: ownedParts(gradient, index, ranks.size), sum: owned?.sum }
    })
    this.#sums = new GradientSums(summed, backend, ranks)
    this.#numbers = new Map(parameters.map(({ weight }, i) => [weight, i]))
  }

  /** Bytes of sums beside the parameters. */
  get bytes(): number {
    return this.#sums.bytes
  }

  /** Forward and backward of the micro-batch of round number `round` of an update. */
  async pass(prepared: Prepared, phases: readonly Phase[], round: number): Promise<void> {
    for (const [stage, { completed }] of phases.entries()) {
      await prepared.run(stage)
      const numbers = completed.map((weight) => this.#numbers.get(weight) as number)
      if (numbers.length > 0) await this.#sums.add(numbers, round)
    }
  }

  /** The update, when all rounds have passed. */
  async update({ update, ownSquares, squares }: StepPlans): Promise<void> {
    await this.#sums.settled()
    if (this.#settings.shard === "none") await this.#sums.share()
    await ownSquares?.run()
    await squares?.gather()
    await update?.run()
    if (this.#settings.shard !== "none") await this.#shareWeights()
  }

  /** Each rank has moved its part of the weights. */
  #shareWeights(): Promise<void> {
    const { ranks } = this.#settings
    const all = this.#parameters.map(({ weight, index }) => {
      return { whole: weight, parts: ownedParts(weight, index, ranks.size) }
    })
    return gatherParts(all, this.#backend, ranks)
  }
}
