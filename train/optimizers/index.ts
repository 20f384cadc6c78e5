// The optimizers that a name stands for: a line each.
import { adamw } from "./adamw.ts"
import type { Optimizer } from "./optimizer.ts"
import { sgd } from "./sgd.ts"

export type { AdamWOptions } from "./adamw.ts"
export type { Magnitudes, Optimizer, UpdateOf } from "./optimizer.ts"
export type { SgdOptions } from "./sgd.ts"

/** Optimizers by name, each made with options of its own. */
export const optimizers = {
  /** AdamW, the release's. */
  adamw,
  /** Gradient descent with momentum, in half the memory. */
  sgd,
} as const satisfies Record<string, () => Optimizer>
/** Names that the option `optimizer` takes. */
export type OptimizerName = keyof typeof optimizers
/** Tensors that lie beside each weight of a dtype that is trained: the optimizer's state, a gradient, and a master
 *  where the weight is of fewer bits. */
export const tensorsBeside = (optimizer: OptimizerName, dtype: string): number =>
  optimizers[optimizer]().state.length + (dtype === "f32" ? 1 : 2)

export const optimizerNames = Object.keys(optimizers) as readonly OptimizerName[]
