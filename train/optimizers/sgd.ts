// Stochastic gradient descent with momentum, and weight decay as part of the gradient; half of AdamW's
// memory.  m ← μ·m + g + decay·p,  p ← p − lr·m.  Sutskever et al. 2013, as PyTorch's SGD has it
import { constant, type Tensor } from "../../engine/index.ts"
import { add, affine, broadcast, less, mul, select, sub } from "../../ops/index.ts"
import { checkNumberOf, isBelow1 } from "../checks.ts"
import { type Optimizer, surelyHeld } from "./optimizer.ts"

/** What SGD is made with. */
export interface SgdOptions {
  /** μ; default 0.9. */
  readonly momentum?: number
}

/** Throws RangeError naming the option. */
export function sgd({ momentum = 0.9 }: SgdOptions = {}): Optimizer {
  checkNumberOf("momentum", momentum, isBelow1, "from 0 and below 1")
  return {
    name: "sgd",
    state: ["momentum_buffer"],
    rates: (lr) => Float32Array.of(lr),
    update({ p, g, state, rates, scale }, decay) {
      const [m] = state as [Tensor]
      const kept = broadcast(less(scale, constant([0], [1])), p.shape)
      const gradient = add(mul(g, scale), affine(p, decay, 0)) // (N)
      const after = add(affine(m, momentum, 0), gradient) // (N)
      return {
        p: select(kept, p, sub(p, mul(after, rates))),
        state: [select(kept, m, after)],
      }
    },
    boundsAfter({ parameter, moment }, rates, largest, decay) {
      const [lr] = rates as unknown as [number]
      const after = momentum * moment + largest + decay * parameter
      const moved = parameter + lr * after
      return Math.max(after, moved) < surelyHeld ? { parameter: moved, moment: after } : undefined
    },
  }
}
