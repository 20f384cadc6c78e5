// Numbers of many documents, and of tasks in a group: means, perplexities and their standard errors.
import { PythonRandom } from "../model/python/random.ts"
import type { AggregationName, Value } from "./types.ts"

/** A standard error, or "N/A" where there is none. */
export type StandardError = number | "N/A"

export const mean = (values: readonly number[]): number => sum(values) / values.length

// One after the other from the first on, as the original adds: other orders differ in the last bits.
const sum = (values: readonly number[]): number => values.reduce((all, x) => all + x, 0)

/** Of a sample, with n − 1. */
export function deviation(values: readonly number[]): number {
  const middle = mean(values)
  const squares = values.map((x) => (x - middle) ** 2)
  return Math.sqrt(sum(squares) / (values.length - 1))
}

const meanError = (values: readonly number[]): number =>
  deviation(values) / Math.sqrt(values.length)

/** Σ a / Σ b of pairs. */
const ratio = (values: readonly Value[]): number => {
  const pairs = values as readonly (readonly [number, number])[]
  return sum(pairs.map(([value]) => value)) / sum(pairs.map(([, weight]) => weight))
}

const perplexity = (values: readonly number[]): number => Math.exp(-mean(values))

interface Aggregation {
  of(values: readonly Value[]): number
  /** Throws nothing: values are two or more. */
  error?(values: readonly Value[], iterations: number): StandardError
}

const aggregations: Readonly<Record<AggregationName, Aggregation>> = {
  mean: {
    of: (values) => mean(values as readonly number[]),
    error: (values) => meanError(values as readonly number[]),
  },
  perplexity: {
    of: (values) => perplexity(values as readonly number[]),
    error: (values, iterations) => bootstrapError(perplexity, values as number[], iterations),
  },
  weighted_perplexity: { of: (values) => Math.exp(-ratio(values)) },
  bits_per_byte: { of: (values) => -ratio(values) / Math.LN2 },
}

/** A metric over documents, with its standard error. `iterations`: of the bootstrap, where there is one. */
export function aggregate(
  name: AggregationName,
  values: readonly Value[],
  iterations: number,
): { readonly value: number; readonly error: StandardError } {
  const { of, error } = aggregations[name]
  const isKnown = error !== undefined && values.length > 1 && iterations > 0
  return { value: of(values), error: isKnown ? error(values, iterations) : "N/A" }
}

/** Draws of a chunk share a generator, whose seed is the chunk's number. */
const chunk = 1000

function bootstrapError(
  of: (values: readonly number[]) => number,
  values: readonly number[],
  iterations: number,
): number {
  const size = Math.min(chunk, iterations)
  const results: number[] = []
  for (let i = 0; i < Math.floor(iterations / size); i++) {
    const random = new PythonRandom(i)
    for (let n = 0; n < size; n++) results.push(of(random.choices(values, values.length)))
  }
  return deviation(results)
}

/** A member of a group: its metric over so many documents. */
export interface Member {
  readonly value: number
  readonly error: StandardError
  readonly size: number
}

/** The mean over all documents, and the standard error of the samples pooled. */
export function pooled(members: readonly Member[]): Member {
  const size = sum(members.map((each) => each.size))
  const value = sum(members.map((each) => each.value * each.size)) / size
  const variances = members.map(({ error, size: n }) =>
    error === "N/A" ? Number.NaN : (n - 1) * error ** 2 * n,
  )
  const variance = sum(variances) / (size - members.length)
  const isKnown = members.every(({ error }) => error !== "N/A")
  return { value, size, error: isKnown ? Math.sqrt(variance / size) : "N/A" }
}
