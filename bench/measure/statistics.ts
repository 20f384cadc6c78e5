// Medians and spreads of repeated measurements.

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Median, smallest and largest of one or more numbers. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (i: number): number => sorted[i] as number
  const middle = sorted.length >> 1
  const median = sorted.length % 2 ? at(middle) : (at(middle - 1) + at(middle)) / 2
  return { median, min: at(0), max: at(sorted.length - 1) }
}
