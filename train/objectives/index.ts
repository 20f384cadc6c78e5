// The objectives that come with the package: a line each.
import { crossEntropy } from "./cross_entropy.ts"
import { preference } from "./preference.ts"

export type { CrossEntropyOptions } from "./cross_entropy.ts"
export type { BatchSizes, Objective, RowLosses } from "./objective.ts"
export type { PreferenceLoss, PreferenceOptions } from "./preference.ts"

/** Objectives by name, each made with options of its own. */
export const objectives = {
  /** The release's: cross-entropy and z-loss. */
  crossEntropy,
  /** Preferred answers against others: DPO, hinge, IPO. */
  preference,
} as const
