// The paper's tables as one page to share: no network, light and dark, readable on a phone, printable.
import { busyShare } from "../measure/foreign.ts"
import type { Machine } from "../measure/machine.ts"
import { type Bar, barsFigure, number } from "../report/bars.ts"
import { escaped, figuresHtml, linesFigure, pageHtml } from "../report/page.ts"
import type { MeasuredChart } from "./charts.ts"
import { headingOf, type TableHead, type Throughput } from "./paper.ts"
import type { TableLine } from "./table.ts"

const rates = ["prompt", "generation", "total"] as const

const cells = (values: Throughput | undefined, kind = ""): string =>
  rates.map((name) => `<td${kind}>${values ? number(values[name]) : ""}</td>`).join("")

function tableHtml(lines: readonly TableLine[]): string {
  const isNorms = lines.some(({ normsPerToken }) => normsPerToken !== undefined)
  const isBusy = lines.some(({ foreignShare = 0 }) => foreignShare > busyShare)
  const head = [
    "<th>model</th>",
    ...rates.map((name) => `<th>${name}</th>`),
    ...rates.map((name) => `<th class="paper">paper: ${name}</th>`),
    isNorms ? "<th>norms a token</th><th>to no norm</th>" : "<th>of memory's speed</th>",
    isBusy ? "<th>other work</th>" : "",
  ]
  const rows = lines.map((line) => {
    const { label, paper, skipped, bandwidthFraction, normsPerToken, generationRatio } = line
    const share = bandwidthFraction === undefined ? "" : `${(100 * bandwidthFraction).toFixed(0)} %`
    const own = isNorms
      ? `<td>${normsPerToken ?? ""}</td><td>${generationRatio?.toFixed(3) ?? ""}</td>`
      : `<td>${share}</td>`
    const { foreignShare = 0 } = line
    const other = foreignShare > busyShare ? `${(100 * foreignShare).toFixed(0)} %` : ""
    const here = skipped ? `<td colspan="3">${escaped(skipped)}</td>` : cells(line.rates)
    const busy = isBusy ? `<td>${other}</td>` : ""
    return `<tr><td>${escaped(label)}</td>${here}${cells(paper, ' class="paper"')}${own}${busy}</tr>`
  })
  return (
    `<div class="wide"><table><thead><tr>${head.join("")}</tr></thead>` +
    `<tbody>${rows.join("\n")}</tbody></table></div>`
  )
}

function figuresOf(lines: readonly TableLine[]): string {
  const measured = lines.flatMap((line) => (line.rates ? [{ ...line, rates: line.rates }] : []))
  const ofRate = (name: keyof Throughput): Bar[] =>
    measured.map(({ label, rates }) => ({ label, value: rates[name], text: number(rates[name]) }))
  const ofShare = measured.flatMap(({ label, bandwidthFraction: value }) =>
    value === undefined ? [] : [{ label, value, text: `${(100 * value).toFixed(0)} %` }],
  )
  const overhead = measured.flatMap(({ label, generationRatio: ratio }) =>
    ratio === undefined
      ? []
      : [{ label, value: Math.max(0, 1 / ratio - 1), text: `${(100 / ratio - 100).toFixed(1)} %` }],
  )
  return figuresHtml([
    barsFigure("generation, tokens per second", ofRate("generation")),
    barsFigure("prompt, tokens per second", ofRate("prompt")),
    barsFigure("generation as a share of reading the weights at memory's speed", ofShare),
    barsFigure("time of a token beyond that of the model without norms", overhead),
  ])
}

interface Measured {
  readonly machine: Machine
  /** What the tables were measured with: threads, build, lengths. */
  readonly protocol: string
  readonly lines: readonly TableLine[]
  readonly charts?: readonly MeasuredChart[]
}

/** A whole page of HTML. */
export function reportHtml(
  tables: readonly TableHead[],
  { machine, protocol, lines, charts = [] }: Measured,
): string {
  const sections = tables.map((table) => {
    const own = lines.filter((line) => line.table === table.name)
    return (
      `<section><h2>${escaped(headingOf(table))}</h2>${tableHtml(own)}` +
      `<p>Tokens per second. The paper's numbers are of another machine: ${escaped(table.on)}.</p>` +
      `${figuresOf(own)}</section>`
    )
  })
  return pageHtml({
    title: "OpenELM's throughput",
    heading: tables.some(({ name }) => name !== "")
      ? "OpenELM's throughput tables, measured again"
      : "Throughput by the protocol of OpenELM's paper",
    ...{ machine, protocol, sections: [...sections, ...chartsHtml(charts)] },
  })
}

const chartsHtml = (charts: readonly MeasuredChart[]): string[] =>
  charts.length === 0
    ? []
    : [
        `<section><h2>Threads, context and batch</h2>${figuresHtml(
          charts.map(({ model, dtype, chart }) =>
            linesFigure({ ...chart, title: `${chart.title}: ${model} ${dtype}` }),
          ),
        )}</section>`,
      ]
