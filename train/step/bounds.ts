// Whether f32 surely holds what an update makes, known beforehand and without looking at it: by
// bounds of the parameters and first moments, which each update advances, and which are measured
// where they do not decide. With settings as people have them that is once.
import { type Backend, constant, readTensors } from "../../engine/index.ts"
import { add } from "../../ops/index.ts"
import type { Magnitudes } from "../optimizers/index.ts"
import { gatherNumbers } from "../parallel/communicator.ts"
import type { TrainSettings } from "./options.ts"
import { largestNorm, type Parameter, squaredNorm, type UpdateSettings } from "./update.ts"

export class Bounds {
  readonly #parameters: readonly Parameter[]
  readonly #settings: UpdateSettings & Pick<TrainSettings, "ranks" | "shard">
  readonly #backend: Backend
  #known: Magnitudes | undefined

  constructor(parameters: readonly Parameter[], settings: TrainSettings, backend: Backend) {
    this.#parameters = parameters
    this.#settings = settings
    this.#backend = backend
  }

  /** Whether an update at these rates stays finite whatever its gradients. */
  async hold(rates: Float32Array): Promise<boolean> {
    const { optimizer, clip, weightDecay } = this.#settings
    const largest = Math.min(clip, largestNorm)
    if (!optimizer.boundsAfter) return false
    for (const known of this.#known ? [this.#known, undefined] : [undefined]) {
      const before = known ?? (await this.#measured())
      this.#known = optimizer.boundsAfter(before, rates, largest, weightDecay)
      if (this.#known) return true
    }
    return false
  }

  /** Upper bounds of the magnitudes: the norms. Infinite where f32 does not hold their squares. Of several
   *  ranks that each have a part it is those of all of them. */
  async #measured(): Promise<Magnitudes> {
    const { ranks, shard } = this.#settings
    const owning = this.#parameters.filter(({ owned }) => owned?.size !== 0)
    const own = await squaresOf(owning, this.#backend)
    const all = shard === "none" ? [own] : await gatherNumbers(ranks, own)
    const [parameter, moment] = [0, 1].map((i) =>
      Math.sqrt(all.reduce((sum, squares) => sum + (squares[i] as number), 0)),
    )
    return { parameter: parameter as number, moment: moment as number }
  }
}

/** The squares of the norms of parameters and first moments. */
async function squaresOf(
  parameters: readonly Parameter[],
  backend: Backend,
): Promise<readonly number[]> {
  const masters = parameters.map(({ master }) => master)
  const moments = parameters.flatMap(({ state }) => state[0] ?? [])
  const norms = [masters, moments].map((tensors) =>
    tensors.map(squaredNorm).reduce((a, b) => add(a, b), constant([0], [1])),
  )
  return (await readTensors(norms, backend)).map((x) => Number(x[0]))
}
