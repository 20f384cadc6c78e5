// The losses of a run as a chart, and as a picture.
import type { Chart } from "./chart.ts"
import type { Metrics } from "./metrics.ts"

/** Cross-entropy, or the loss of preferences, over updates, training and validation. */
export function chartOf(metrics: readonly Metrics[]): Chart {
  const [training, validation]: [number, number][][] = [[], []]
  let isCe = true
  for (const each of metrics) {
    if ("validation_loss" in each) validation?.push([each.step, each.validation_loss])
    else if ("ce" in each) training?.push([each.step, each.ce])
    else if ("rewards/margins" in each) {
      isCe = false
      training?.push([each.step, each.loss])
    }
  }
  return {
    title: isCe ? "cross-entropy by update" : "loss by update",
    x: "update",
    y: isCe ? "cross-entropy, nats per token" : "loss",
    series: [
      { name: "training", points: training ?? [] },
      { name: "validation", points: validation ?? [], marked: true },
    ],
  }
}

/** Points of the longest series. */
export const pointsIn = ({ series }: Chart): number =>
  Math.max(...series.map((s) => s.points.length))

/** That chart as an SVG file's text; "" without any points. */
export async function plotSvg(metrics: readonly Metrics[]): Promise<string> {
  const chart = chartOf(metrics)
  return pointsIn(chart) > 0 ? (await import("./chart.ts")).chartSvg(chart) : ""
}
