// The losses of a run in characters.
import type { Metrics } from "../../train/run/metrics.ts"
import { chartOf, pointsIn } from "../../train/run/plot.ts"

/** A chart as wide as the terminal, or 80 columns; "" for fewer than two points. */
export async function plotText(metrics: readonly Metrics[]): Promise<string> {
  const chart = chartOf(metrics)
  if (pointsIn(chart) < 2) return ""
  const columns = Math.min(process.stdout.columns || 80, 100)
  return (await import("./chart.ts")).chartText(chart, columns)
}
