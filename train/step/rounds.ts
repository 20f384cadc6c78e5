// How ranks run a step: phase by phase, each layer's gradients on their way to those who sum them while the next
// layer's are computed, or, where no rank keeps weights whole, the next layer's weights on their way; then the
// update, each of all weights or of its part.
import type { Backend, Prepared, Tensor } from "../../engine/index.ts"
import { ownedParts } from "../parallel/buckets.ts"
import { type Gathering, gatherParts } from "../parallel/gather.ts"
import { Staging } from "../parallel/staging.ts"
import { exchangedBytes, GradientSums } from "../parallel/sums.ts"
import type { ShardedWeights } from "../parallel/weights.ts"
import { type Needs, throughStages } from "./needs.ts"
import type { TrainSettings } from "./options.ts"
import type { StepPlans } from "./plans.ts"
import type { Parameter } from "./update.ts"

export class Rounds {
  readonly #parameters: readonly Parameter[]
  readonly #settings: TrainSettings
  readonly #sums: GradientSums
  readonly #numbers: ReadonlyMap<Tensor, number>
  readonly #weights: ShardedWeights | undefined
  readonly #where: Gathering

  constructor(
    parameters: readonly Parameter[],
    backend: Backend,
    settings: TrainSettings,
    weights: ShardedWeights | undefined,
  ) {
    this.#parameters = parameters
    this.#settings = settings
    this.#weights = weights
    const { ranks } = settings
    const summed = parameters.map(({ gradient, index, owned }) => {
      return { gradient, parts: ownedParts(gradient, index, ranks.size), sum: owned?.sum }
    })
    this.#where = { backend, ranks, staging: weights?.staging ?? new Staging() }
    this.#sums = new GradientSums(summed, this.#where, exchangedBytes(settings.shard))
    this.#numbers = new Map(parameters.map(({ weight }, i) => [weight, i]))
  }

  /** Bytes of sums beside the parameters. */
  get bytes(): number {
    return this.#sums.bytes
  }

  /** Forward and backward of the micro-batch of round number `round` of an update. */
  async pass({ first, phases, needs }: StepPlans, round: number): Promise<void> {
    const added = async (stage: number): Promise<void> => {
      const { completed = [] } = phases[stage] ?? {}
      const numbers = completed.map((weight) => this.#numbers.get(weight) as number)
      if (numbers.length > 0) await this.#sums.add(numbers, round)
    }
    const weights = this.#weights
    if (needs && weights) {
      return throughStages(
        needs,
        weights,
        (stage) => first.run(stage),
        async (stage) => {
          await added(stage)
          await this.#sums.settled()
        },
      )
    }
    for (const stage of phases.keys()) {
      await first.run(stage)
      await added(stage)
    }
  }

  /** The losses of a micro-batch alone; without a plan only the weights for the others. All ranks come here as
   *  often where none keeps them whole. */
  async forward(needs: Needs | undefined, prepared: Prepared | undefined): Promise<void> {
    const weights = this.#weights
    if (!needs || !weights) return prepared?.run()
    await throughStages(needs, weights, (stage) => prepared?.run(stage))
  }

  /** The update, when all rounds have passed. */
  async update({ update, ownSquares, squares }: StepPlans): Promise<void> {
    const { shard } = this.#settings
    await this.#sums.settled()
    if (shard === "none") await this.#sums.share()
    await ownSquares?.run()
    await squares?.gather()
    await update?.run()
    if (shard !== "none") await this.#shareWeights()
  }

  /** Each rank has moved its part of the weights: those that all have whole are so again. */
  #shareWeights(): Promise<void> {
    const { ranks } = this.#settings
    const weights = this.#weights
    const whole = this.#parameters.filter(({ weight }) => weights?.unitOf(weight) === undefined)
    if (whole.length < this.#parameters.length) weights?.moved()
    const all = whole.map(({ weight, index }) => {
      return { whole: weight, parts: ownedParts(weight, index, ranks.size) }
    })
    return gatherParts(all, this.#where)
  }
}
