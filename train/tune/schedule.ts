// Learning rates of a tuning run: as transformers has them, or as the release pre-trained and tuned adapters.
import { cosineRate } from "../preference/order.ts"
import { learningRate } from "../run/schedule.ts"
import type { TuneSettings } from "./fields.ts"

export const schedules = ["cosine", "release"] as const

/** The rate of update i of so many. */
export function rateOf(settings: TuneSettings, i: number, steps: number): number {
  const { schedule, lr, warmupRatio, warmupSteps, warmupInitLr, minLr } = settings
  if (schedule === "cosine") return cosineRate(i, { lr, total: steps, warmupRatio })
  const maxSteps = Math.max(warmupSteps, steps - 1)
  const rates = { maxLr: lr, minLr: minLr ?? lr / 10, warmupInitLr, warmupSteps, maxSteps }
  return learningRate(rates, i)
}
