// The losses of a run as a picture (Vega, without a browser) and as text for a terminal.
import type { Metrics } from "./metrics.ts"

interface Point {
  readonly step: number
  readonly loss: number
  readonly of: "training" | "validation"
}

const pointsOf = (metrics: readonly Metrics[]): Point[] =>
  metrics.flatMap((each): Point[] => {
    if ("validation_loss" in each) {
      return [{ step: each.step, loss: each.validation_loss, of: "validation" }]
    }
    return "ce" in each ? [{ step: each.step, loss: each.ce, of: "training" }] : []
  })

/** Cross-entropy over updates, training and validation, as an SVG file's text. */
export async function plotSvg(metrics: readonly Metrics[]): Promise<string> {
  const { compile } = await import("vega-lite")
  const { parse, View } = await import("vega")
  const { spec } = compile({
    width: 640,
    height: 360,
    padding: 12,
    background: "white",
    data: { values: pointsOf(metrics) },
    encoding: {
      x: { field: "step", type: "quantitative", title: "update", axis: { tickCount: 8 } },
      y: {
        field: "loss",
        type: "quantitative",
        title: "cross-entropy, nats per token",
        scale: { zero: false },
      },
      color: {
        field: "of",
        type: "nominal",
        title: null,
        scale: { domain: ["training", "validation"], range: ["#7aa6d6", "#c2410c"] },
        legend: { orient: "top-right" },
      },
    },
    layer: [
      { mark: { type: "line", strokeWidth: 1.5 } },
      {
        transform: [{ filter: "datum.of === 'validation'" }],
        mark: { type: "point", filled: true, size: 36 },
      },
    ],
  })
  const view = new View(parse(spec), { renderer: "none" })
  try {
    return await view.toSVG()
  } finally {
    view.finalize()
  }
}

/** The same in characters; nothing for fewer than two points. */
export async function plotText(metrics: readonly Metrics[]): Promise<string> {
  const { plot } = await import("simple-ascii-chart")
  const points = pointsOf(metrics)
  const series = (["training", "validation"] as const)
    .map((of) => points.filter((p) => p.of === of).map(({ step, loss }) => [step, loss]))
    .filter((list) => list.length > 1) as [number, number][][]
  if (series.length === 0) return ""
  const formatter = (x: number, { axis }: { axis: "x" | "y" }) =>
    axis === "y" ? x.toFixed(2) : String(Math.round(x))
  const [width, height] = [Math.min(72, (process.stdout.columns ?? 80) - 12), 12]
  return plot(series, { width, height, title: "cross-entropy by update", formatter })
}
