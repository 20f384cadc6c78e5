// What requests that share a batch have come to, in all and of each adapter that they go through.

/** What is under way now, and what was since the beginning. */
export interface ContinuousCounts extends Counted {
  readonly places: number
  readonly active: number
  readonly waiting: number
}

interface Counted {
  /** Tokens of prompts that were read, and that were there already. */
  readonly read: number
  readonly reused: number
  readonly generated: number
  /** Steps of the batch, in which each active request gets a token; of an adapter those that it had one in. */
  readonly steps: number
}

const none: Counted = { read: 0, reused: 0, generated: 0, steps: 0 }

export class Counts {
  readonly #routes: Counted[]
  #steps = 0

  constructor(routes: number) {
    this.#routes = Array(routes).fill(none)
  }

  add(route: number, name: keyof Counted, count: number): void {
    const counted = this.#routes[route] as Counted
    this.#routes[route] = { ...counted, [name]: counted[name] + count }
  }

  /** One more step, in which these routes had a token. */
  step(routes: ReadonlySet<number>): void {
    this.#steps++
    for (const route of routes) this.add(route, "steps", 1)
  }

  /** Of a route, or of all. */
  of(route?: number): Counted {
    if (route !== undefined) return this.#routes[route] as Counted
    const sum = (name: keyof Counted): number => this.#routes.reduce((n, each) => n + each[name], 0)
    return {
      ...{ read: sum("read"), reused: sum("reused"), generated: sum("generated") },
      steps: this.#steps,
    }
  }
}
