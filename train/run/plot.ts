// The losses of a run as a picture, and as text for a terminal.
import type { Chart } from "./chart.ts"
import type { Metrics } from "./metrics.ts"

function chartOf(metrics: readonly Metrics[]): Chart {
  const [training, validation]: [number, number][][] = [[], []]
  for (const each of metrics) {
    if ("validation_loss" in each) validation?.push([each.step, each.validation_loss])
    else if ("ce" in each) training?.push([each.step, each.ce])
  }
  return {
    title: "cross-entropy by update",
    x: "update",
    y: "cross-entropy, nats per token",
    series: [
      { name: "training", points: training ?? [] },
      { name: "validation", points: validation ?? [], marked: true },
    ],
  }
}

const pointsIn = ({ series }: Chart): number => Math.max(...series.map((s) => s.points.length))

/** Cross-entropy over updates, training and validation, as an SVG file's text; "" without any. */
export async function plotSvg(metrics: readonly Metrics[]): Promise<string> {
  const chart = chartOf(metrics)
  return pointsIn(chart) > 0 ? (await import("./chart.ts")).chartSvg(chart) : ""
}

/** The same in characters; "" for fewer than two points. */
export async function plotText(metrics: readonly Metrics[]): Promise<string> {
  const chart = chartOf(metrics)
  if (pointsIn(chart) < 2) return ""
  const columns = Math.min(process.stdout.columns ?? 80, 100)
  return (await import("./chart.ts")).chartText(chart, columns)
}
