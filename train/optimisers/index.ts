// The optimisers that a name stands for: a line each.
import { adamw } from "./adamw.ts"
import type { Optimiser } from "./optimiser.ts"
import { sgd } from "./sgd.ts"

export type { AdamWOptions } from "./adamw.ts"
export type { Magnitudes, Optimiser, UpdateOf } from "./optimiser.ts"
export type { SgdOptions } from "./sgd.ts"

/** Optimisers by name, each made with options of its own. */
export const optimisers = {
  /** AdamW, the release's. */
  adamw,
  /** Gradient descent with momentum, in half the memory. */
  sgd,
} as const satisfies Record<string, () => Optimiser>
/** Names that the option `optimiser` takes. */
export type OptimiserName = keyof typeof optimisers
export const optimiserNames = Object.keys(optimisers) as readonly OptimiserName[]
