// Spreads of repeated measurements.
import { median } from "../../backends/statistics.ts"

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Median, smallest and largest of one or more numbers. */
export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}

/** A ratio of two means, and the interval that holds the true one in 95 of 100 cases. */
export interface Ratio {
  readonly ratio: number
  /** 0 … ∞ where there are too few values to tell. */
  readonly low: number
  readonly high: number
}

/** Quantiles of Student's t for intervals of 95 %, by degrees of freedom. */
const quantiles = [
  ...([
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179,
  ] as const),
  ...([2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086] as const),
]
/** From these degrees on it hardly falls. */
const quantileOfMany = 2.086

/**
 * b over a of positive values that were measured apart: of geometric means, whose logarithms' difference
 * Welch's interval encloses (Welch 1947, "The generalization of Student's problem").
 */
export function ratioOf(a: readonly number[], b: readonly number[]): Ratio {
  const [x, y] = [momentsOf(a), momentsOf(b)]
  const ratio = Math.exp(y.mean - x.mean)
  if (a.length < 2 || b.length < 2) return { ratio, low: 0, high: Number.POSITIVE_INFINITY }
  const [u, v] = [x.variance / a.length, y.variance / b.length]
  if (u + v === 0) return { ratio, low: ratio, high: ratio }
  const degrees = (u + v) ** 2 / (u ** 2 / (a.length - 1) + v ** 2 / (b.length - 1))
  const quantile = quantiles[Math.max(1, Math.floor(degrees)) - 1] ?? quantileOfMany
  const half = Math.exp(quantile * Math.sqrt(u + v))
  return { ratio, low: ratio / half, high: ratio * half }
}

/** Of logarithms; the variance is that of a sample. */
function momentsOf(values: readonly number[]): { mean: number; variance: number } {
  const logs = values.map(Math.log)
  const mean = logs.reduce((sum, x) => sum + x, 0) / logs.length
  const squares = logs.reduce((sum, x) => sum + (x - mean) ** 2, 0)
  return { mean, variance: squares / Math.max(1, logs.length - 1) }
}
