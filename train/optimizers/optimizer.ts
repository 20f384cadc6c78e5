// What an optimizer is: how gradients move parameters, as recorded ops. Each is a file beside this one
// and a line in the list (index.ts); norms, clipping and decay by kind are train/step/update.ts's.
import type { Tensor } from "../../engine/index.ts"

/** Bounds of what parameters and an optimizer's first state may be. */
export interface Magnitudes {
  readonly parameter: number
  readonly moment: number
}

/** How gradients move parameters. */
export interface Optimizer {
  readonly name: string
  /** What is kept beside each parameter, f32 of its shape and at first zeros, by the names that
   *  checkpoints have. */
  readonly state: readonly string[]
  /** The numbers of update `step`, counted from 1, in f32; as many at every step. */
  rates(lr: number, step: number): Float32Array
  /**
   * Parameter and state after an update. A scale below 0 leaves all of them as they are; else gradients
   * count times the scale. `decay` is the weight decay of this parameter, 0 for vectors.
   * p, g, each state (N), rates (R), scale (1) → each (N)
   */
  update(given: UpdateOf, decay: number): { readonly p: Tensor; readonly state: readonly Tensor[] }
  /** Bounds after an update with gradients of at most `largest`, whatever they are; undefined where f32
   *  might not hold it. Without this, every update is tried before it is made. */
  boundsAfter?(
    before: Magnitudes,
    rates: Float32Array,
    largest: number,
    decay: number,
  ): Magnitudes | undefined
}

/** One parameter, its gradient and state, and the numbers of the step. */
export interface UpdateOf {
  readonly p: Tensor // (N)
  readonly g: Tensor // (N)
  readonly state: readonly Tensor[] // (N) each
  readonly rates: Tensor // (R)
  readonly scale: Tensor // (1)
}

/** What no parameter and no step may exceed to be surely held; f32's largest is 34 times that. */
export const surelyHeld = 1e37
