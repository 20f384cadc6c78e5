// How ranks run a step: phase by phase, each layer's gradients on their way to those who sum them while the next
// layer's are computed, or, where no rank keeps weights whole, the next layer's weights on their way; then the
// update, each of all weights or of its part.
import type { Backend, Prepared, Tensor } from "../../engine/index.ts"
import { ownedParts } from "../parallel/buckets.ts"
import { gatherParts } from "../parallel/gather.ts"
import { exchangedBytes, GradientSums } from "../parallel/sums.ts"
import type { ShardedWeights } from "../parallel/weights.ts"
import type { Needs } from "./needs.ts"
import type { TrainSettings } from "./options.ts"
import type { StepPlans } from "./plans.ts"
import type { Parameter } from "./update.ts"

export class Rounds {
  readonly #parameters: readonly Parameter[]
  readonly #backend: Backend
  readonly #settings: TrainSettings
  readonly #sums: GradientSums
  readonly #numbers: ReadonlyMap<Tensor, number>
  readonly #weights: ShardedWeights | undefined

  constructor(
    parameters: readonly Parameter[],
    backend: Backend,
    settings: TrainSettings,
    weights: ShardedWeights | undefined,
  ) {
    this.#parameters = parameters
    this.#backend = backend
    this.#settings = settings
    this.#weights = weights
    const { ranks } = settings
    const summed = parameters.map(({ gradient, index, owned }) => {
      return { gradient, parts: ownedParts(gradient, index, ranks.size), sum: owned?.sum }
    })
    this.#sums = new GradientSums(summed, backend, ranks, exchangedBytes(settings.shard))
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
    if (needs) return this.#through(needs, (stage) => first.run(stage), added)
    for (const stage of phases.keys()) {
      await first.run(stage)
      await added(stage)
    }
  }

  /** The losses of a micro-batch alone; without a plan only the weights for the others. All ranks come here as
   *  often where none keeps them whole. */
  async forward(needs: Needs | undefined, prepared: Prepared | undefined): Promise<void> {
    if (!needs) return prepared?.run()
    await this.#through(needs, (stage) => prepared?.run(stage))
  }

  /** The update, when all rounds have passed. */
  async update({ update, ownSquares, squares }: StepPlans): Promise<void> {
    const { shard } = this.#settings
    await this.#sums.settled()
    if (shard === "none") await this.#sums.share()
    await ownSquares?.run()
    await squares?.gather()
    await update?.run()
    if (shard === "state") await this.#shareWeights()
    this.#weights?.moved()
  }

  /** Runs stages, each with the weights that it needs, and the next one's on their way. */
  async #through(
    needs: Needs,
    run: (stage: number) => void | Promise<void>,
    after?: (stage: number) => Promise<void>,
  ): Promise<void> {
    const weights = this.#weights as ShardedWeights
    for (const [stage, units] of needs.entries()) {
      for (const unit of units) await weights.need(unit)
      const next = needs.slice(stage + 1).find((others) => others.length > 0)
      for (const unit of next ?? []) await weights.ahead(unit, units)
      await run(stage)
      // One exchange at a time: what is ahead, then the gradients.
      await weights.settled()
      await after?.(stage)
      await this.#sums.settled()
    }
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
