// The optimisers that a name stands for: a line each.
import { adamw } from "./adamw.ts"
import type { Optimiser } from "./optimiser.ts"
import { sgd } from "./sgd.ts"

export type { AdamWOptions } from "./adamw.ts"
export type { Magnitudes, Optimiser, UpdateOf } from "./optimiser.ts"
export type { SgdOptions } from "./sgd.ts"

export const optimisers = { adamw, sgd } as const satisfies Record<string, () => Optimiser>
export type OptimiserName = keyof typeof optimisers
export const optimiserNames = Object.keys(optimisers) as readonly OptimiserName[]
