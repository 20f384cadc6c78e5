// Two results of the same measurements: ratios with intervals, and what became slower beyond noise.
import { type Ratio, ratioOf } from "../measure/statistics.ts"
import type { Circumstances, Results } from "./results.ts"

/** What is compared. */
type Compared = "rates" | "shares"

export interface ComparedRow extends Ratio {
  readonly key: string
  readonly rate: string
  /** Geometric means. */
  readonly before: number
  readonly after: number
  readonly repeats: readonly [before: number, after: number]
  readonly verdict: "slower" | "faster" | "same" | "unknown"
}

export interface Comparison {
  readonly rows: readonly ComparedRow[]
  /** Circumstances that differ, in words. */
  readonly differences: readonly string[]
  /** Keys that one of the two alone has. */
  readonly onlyBefore: readonly string[]
  readonly onlyAfter: readonly string[]
}

const isShare = (name: string): boolean => name.endsWith("Share")

/** `tolerance`: the part by which rates may fall beyond the interval, since runs differ by more than their
 *  repeats. Throws RangeError where nothing can be compared. */
export function compareResults(
  before: Results,
  after: Results,
  what: Compared,
  tolerance: number,
): Comparison {
  if (before.schema !== after.schema) {
    throw new RangeError(
      `${before.source} holds ${before.schema}, ${after.source} ${after.schema}: of different measurements`,
    )
  }
  const pairs = before.rows.flatMap((row) => {
    const other = after.rows.find(({ key }) => key === row.key)
    return other ? [[row, other] as const] : []
  })
  const rows = pairs.flatMap(([a, b]) =>
    [...a.repeats].flatMap(([rate, x]): ComparedRow[] => {
      const y = b.repeats.get(rate)
      if (!y || isShare(rate) !== (what === "shares")) return []
      return [rowOf(a.key, rate, x, y, tolerance)]
    }),
  )
  if (rows.length === 0) throw nothing(before, after, what)
  const missing = (from: Results, other: Results): string[] =>
    from.rows.map(({ key }) => key).filter((key) => !other.rows.some((row) => row.key === key))
  const ofRows = pairs.flatMap(([a, b]) =>
    differing(a.circumstances, b.circumstances, `${a.key}: `),
  )
  return {
    rows,
    differences: [...differing(before.machine, after.machine), ...ofRows],
    onlyBefore: missing(before, after),
    onlyAfter: missing(after, before),
  }
}

function rowOf(
  key: string,
  rate: string,
  before: readonly number[],
  after: readonly number[],
  tolerance: number,
): ComparedRow {
  const found = ratioOf(before, after)
  const { ratio, low, high } = found
  const isKnown = Number.isFinite(high)
  const verdict = !isKnown
    ? "unknown"
    : high < 1 && ratio < 1 - tolerance
      ? "slower"
      : low > 1 && ratio > 1 + tolerance
        ? "faster"
        : "same"
  const mean = (values: readonly number[]): number =>
    Math.exp(values.reduce((sum, x) => sum + Math.log(x), 0) / values.length)
  return {
    ...{ key, rate, before: mean(before), after: mean(after), ...found },
    ...{ repeats: [before.length, after.length], verdict },
  }
}

const differing = (a: Circumstances, b: Circumstances, of = ""): string[] =>
  [...new Set([...a.keys(), ...b.keys()])]
    .filter((name) => a.get(name) !== b.get(name))
    .map((name) => `${of}${name} ${a.get(name) ?? "unknown"} and ${b.get(name) ?? "unknown"}`)

function nothing(before: Results, after: Results, what: Compared): Error {
  const keys = ({ rows }: Results) => rows.map(({ key }) => key).join(", ") || "nothing"
  return new RangeError(
    `no ${what} to compare: ${before.source} has ${keys(before)}; ${after.source} has ${keys(after)}`,
  )
}
