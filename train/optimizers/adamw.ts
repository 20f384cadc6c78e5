// AdamW: the gradient's mean over the root of its square's, and weight decay by itself.
// Loshchilov & Hutter 2017, algorithm 2, arXiv 1711.05101
import type { Tensor } from "../../engine/index.ts"
import { adamW as step } from "../../ops/index.ts"
import { checkNumberOf, isBelow1, isPositive } from "../checks.ts"
import { type Optimizer, surelyHeld } from "./optimizer.ts"

/** What AdamW is made with. */
export interface AdamWOptions {
  /** Decay rates of the moments; default [0.9, 0.95]. */
  readonly betas?: readonly [number, number]
  /** Default 1e-8. */
  readonly eps?: number
}

/** Throws RangeError or TypeError naming the option. */
export function adamw({ betas = [0.9, 0.95], eps = 1e-8 }: AdamWOptions = {}): Optimizer {
  if (!Array.isArray(betas) || betas.length !== 2) {
    throw new TypeError(`betas must be two numbers, got ${betas}`)
  }
  betas.forEach((beta, i) => {
    checkNumberOf(`betas[${i}]`, beta, isBelow1, "from 0 and below 1")
  })
  checkNumberOf("eps", eps, isPositive, "above 0")
  const [beta1, beta2] = betas as [number, number]
  return {
    name: "adamw",
    state: ["exp_avg", "exp_avg_sq"],
    rates(lr, t) {
      const [b1, b2] = [Math.fround(beta1), Math.fround(beta2)]
      return Float32Array.of(lr, lr / (1 - b1 ** t), 1 / Math.sqrt(1 - b2 ** t))
    },
    update({ p, g, state, rates, scale }, decay) {
      const [m, v] = state as [Tensor, Tensor]
      const { newP, newM, newV } = step(p, m, v, g, rates, scale, { beta1, beta2, eps, decay })
      return { p: newP, state: [newM, newV] }
    },
    // |p·(1 − lr·decay) − rate·m / (√v·root + eps)|; m is a mean of gradients.
    boundsAfter({ parameter, moment }, rates, largest, decay) {
      const [lr, rate] = rates as unknown as [number, number]
      const mean = Math.max(moment, largest)
      const kept = parameter * Math.max(1, Math.abs(1 - lr * decay))
      const moved = kept + (rate * mean) / eps
      // The step itself, and the factor of the decay, are numbers of f32 too.
      const most = Math.max(moved, rate * mean, lr * decay)
      return most < surelyHeld ? { parameter: moved, moment: mean } : undefined
    },
  }
}
