// A sweep of layer-wise scaling as a page to share, and its chart.
import type { Chart } from "../../train/run/chart.ts"
import type { Machine } from "../measure/machine.ts"
import type { SweepRow } from "../measure/sweep.ts"
import { type Bar, barsFigure, number } from "./bars.ts"
import { escaped, figuresHtml, linesFigure, pageHtml } from "./page.ts"

/** Parameters of each layer, a line for each way; uniform ways are level. */
export const layersChart = (rows: readonly SweepRow[]): Chart => ({
  title: "parameters of each layer",
  x: "layer",
  y: "millions of parameters",
  series: rows.map(({ model, layerParameters }) => ({
    name: model,
    marked: true,
    points: layerParameters.map((count, i) => [i + 1, count / 1e6] as const),
  })),
})

interface Swept {
  readonly machine: Machine
  readonly protocol: string
  readonly rows: readonly SweepRow[]
}

/** A whole page of HTML. */
export function sweepHtml({ machine, protocol, rows }: Swept): string {
  const bars = (value: (row: SweepRow) => number | undefined): Bar[] =>
    rows.flatMap((row) => {
      const found = value(row)
      return found === undefined ? [] : [{ label: row.model, value: found, text: number(found) }]
    })
  const figures = [
    linesFigure(layersChart(rows)),
    barsFigure(
      "generation, tokens per second",
      bars((row) => row.generationTokensPerSecond),
    ),
    barsFigure(
      "prompt, tokens per second",
      bars((row) => row.promptTokensPerSecond),
    ),
    barsFigure(
      "cross-entropy after the training, nats per token",
      bars((row) => row.loss),
    ),
  ]
  return pageHtml({
    title: "Layer-wise scaling",
    heading: "What layer-wise scaling buys at one budget of parameters",
    ...{ machine, protocol },
    sections: [tableHtml(rows), figuresHtml(figures)],
  })
}

function tableHtml(rows: readonly SweepRow[]): string {
  const withLoss = rows.some(({ loss }) => loss !== undefined)
  const names = ["width", "parameters", "prompt", "generation", ...(withLoss ? ["loss"] : [])]
  const head = ["scaling", ...names].map((name) => `<th>${name}</th>`).join("")
  const body = rows.map((row) => {
    const { model, modelDim, parameters, loss } = row
    const rates = [row.promptTokensPerSecond, row.generationTokensPerSecond].map(number)
    const cells = [modelDim, `${(parameters / 1e6).toFixed(1)} M`, ...rates]
    const all = [...cells, ...(withLoss ? [loss?.toFixed(3) ?? ""] : [])]
    return `<tr><td>${escaped(model)}</td>${all.map((cell) => `<td>${cell}</td>`).join("")}</tr>`
  })
  return (
    `<div class="wide"><table><thead><tr>${head}</tr></thead>` +
    `<tbody>${body.join("\n")}</tbody></table></div>`
  )
}
