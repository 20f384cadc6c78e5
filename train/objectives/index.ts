// The objectives that come with the package: a line each.
import { crossEntropy } from "./cross_entropy.ts"

export type { CrossEntropyOptions } from "./cross_entropy.ts"
export type { BatchSizes, Objective, RowLosses } from "./objective.ts"

/** Objectives by name, each made with options of its own. */
export const objectives = {
  /** The release's: cross-entropy and z-loss. */
  crossEntropy,
} as const
