// The squared norms of gradients of which each rank has a part: it sums the squares of its own numbers, and of
// all ranks' sums every rank makes the norms that one process makes.
import { bound, bufferOf, type Tensor, type Update } from "../../engine/index.ts"
import type { Holder } from "../../model/index.ts"
import { squareSums, squaresPerPart, sum } from "../../ops/index.ts"
import { ownedParts } from "../parallel/buckets.ts"
import type { Communicator } from "../parallel/communicator.ts"
import { type Gathered, type Gathering, gatherParts } from "../parallel/gather.ts"
import { Staging } from "../parallel/staging.ts"
import type { OwnedPart, Parameter } from "./update.ts"

export class Squares {
  readonly #all: readonly Gathered[]
  readonly #where: Gathering
  /** Of this rank's numbers. */
  readonly updates: readonly Update[]
  /** Of every parameter, (1) each. */
  readonly norms: readonly Tensor[]

  constructor(parameters: readonly Parameter[], held: Holder, ranks: Communicator) {
    this.#where = { backend: held.backend, ranks, staging: new Staging() }
    const updates: Update[] = []
    this.#all = parameters.map(({ gradient, index, owned }) => {
      const whole = held.allocate([Math.ceil(gradient.size / squaresPerPart)]) // (R)
      const place = (numbers: number): number => 4 * Math.ceil(numbers / squaresPerPart)
      const parts = ownedParts(gradient, index, ranks.size).map(({ at, bytes }) => {
        return { at: place(at / 4), bytes: place(bytes / 4) }
      })
      const { at, size, sum } = owned as OwnedPart
      if (size > 0) {
        const R = Math.ceil(size / squaresPerPart)
        updates.push([bound(bufferOf(whole), [R], "f32", place(at)), squareSums(sum, { R })])
      }
      return { whole, parts }
    })
    this.updates = updates
    this.norms = this.#all.map(({ whole }) => sum(whole))
  }

  /** Every rank's own become those of all. */
  gather(): Promise<void> {
    return gatherParts(this.#all, this.#where)
  }
}
