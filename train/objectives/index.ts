// The objectives that come with the package: a line each.
import { crossEntropy } from "./cross_entropy.ts"

export type { CrossEntropyOptions } from "./cross_entropy.ts"
export type { BatchSizes, Objective, RowLosses } from "./objective.ts"

export const objectives = { crossEntropy } as const
