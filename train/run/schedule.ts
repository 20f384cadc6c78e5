// The learning rate of every step: linear warm-up, then a cosine from the largest to the smallest,
// as the release has it, rounding included.
import { checkObject, kindOf } from "../../engine/index.ts"

import { show } from "../../model/json.ts"
import type { Settings } from "./fields.ts"

/** Linear warm-up, then a cosine; rates and counts of updates. */
export interface Schedule {
  readonly maxLr: number
  readonly minLr: number
  readonly warmupInitLr: number
  readonly warmupSteps: number
  /** Index of the last step; the cosine comes close to the smallest rate there. */
  readonly maxSteps: number
}

/** Learning rate of step `i`, counted from 0, rounded to eight decimals. Throws TypeError naming a field
 *  of the schedule that is no number. */
export function learningRate(schedule: Schedule, i: number): number {
  checkObject("learningRate: the schedule", schedule)
  if (typeof i !== "number") {
    throw new TypeError(`learningRate: the step must be a number, got ${kindOf(i)}`)
  }
  return Number(unroundedRate(schedule, i).toFixed(8))
}

/** The same before it is rounded. */
export function unroundedRate(schedule: Schedule, i: number): number {
  const { maxLr, minLr, warmupInitLr, warmupSteps: W, maxSteps } = schedule
  for (const [name, value] of Object.entries({
    maxLr,
    minLr,
    warmupInitLr,
    warmupSteps: W,
    maxSteps,
  })) {
    if (Number.isFinite(value)) continue
    throw new TypeError(`learningRate: ${name} is ${show(value)}, expected a number`)
  }
  if (i < W) return warmupInitLr + (i * (maxLr - warmupInitLr)) / W
  const period = maxSteps - W + 1
  return minLr + 0.5 * (maxLr - minLr) * (1 + Math.cos((Math.PI * (i - W)) / period))
}

/** The run's schedule: the last step's index is one below the number of steps. */
export const scheduleOf = ({ lr, minLr, warmupSteps, warmupInitLr, steps }: Settings) => ({
  maxLr: lr,
  minLr: minLr ?? lr / 10,
  warmupInitLr: warmupInitLr,
  warmupSteps: warmupSteps,
  maxSteps: Math.max(warmupSteps, steps - 1),
})
