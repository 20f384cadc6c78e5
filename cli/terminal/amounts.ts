// Numbers as the tables of commands have them.
import type { Spread } from "../../bench/measure/statistics.ts"
import { threeDigits } from "../../model/index.ts"

/** A spread of rates, or of times. */
export const spreadText = (
  { median, min, max }: Spread,
  digits: (x: number) => string = threeDigits,
): string => `${digits(median)} (${digits(min)}–${digits(max)})`

/** Since a time of `performance.now()`: 1.2. */
export const secondsSince = (start: number): string =>
  ((performance.now() - start) / 1000).toFixed(1)

/** A part of a whole, without its sign: 61. */
export const hundredths = (x: number): string => (100 * x).toFixed(0)

/** A part of a whole: 61 %. */
export const percent = (x: number): string => `${hundredths(x)} %`

/** A time as people say it: 3 min 20 s. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000)
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  if (h > 0) return `${h} h ${m} min`
  return m > 0 ? `${m} min ${s} s` : `${s} s`
}
