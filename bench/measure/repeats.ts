// Every repeat of a measurement, as rates: what is kept beside the medians, so that two runs can be
// compared.
import type { Throughput } from "../tables/paper.ts"

/** Rates of one repeat by their names: tokens per second, and shares of ceilings. */
export type Repeat = Readonly<Record<string, number>>

/** What a generation took. */
export interface Timing {
  readonly promptMs: number
  readonly totalMs: number
}

/** The prompt's time includes choosing the first token; the others are the generation. */
export const ratesOf = (
  { promptMs, totalMs }: Timing,
  { prompt, generate }: { readonly prompt: number; readonly generate: number },
): Throughput => ({
  prompt: (1000 * prompt) / promptMs,
  generation: (1000 * (generate - 1)) / (totalMs - promptMs),
  total: (1000 * (prompt + generate)) / totalMs,
})
