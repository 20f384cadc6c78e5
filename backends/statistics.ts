// The median of repeated measurements.

/** Of one or more numbers; of an even count the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const at = (i: number): number => sorted[i] as number
  return sorted.length % 2 ? at(middle) : (at(middle - 1) + at(middle)) / 2
}
