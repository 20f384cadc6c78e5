// The paper's tables as one page to share: no network, light and dark, readable on a phone, printable.
import { scaleLinear } from "d3-scale"
import { busyShare } from "../measure/foreign.ts"
import type { Machine } from "../measure/machine.ts"
import type { PaperTable, Throughput } from "./paper.ts"
import type { TableLine } from "./table.ts"

interface Bar {
  readonly label: string
  readonly value: number
  readonly text: string
}

const rates = ["prompt", "generation", "total"] as const

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => `&#${(c.codePointAt(0) as number).toString()};`)

const number = (x: number): string =>
  x < 10 ? x.toFixed(2) : x < 100 ? x.toFixed(1) : Math.round(x).toLocaleString("en")

const [labelWidth, barWidth, textWidth, rowHeight] = [190, 330, 80, 26] as const

/** Bars side by side from one zero, an SVG's text. */
function barsSvg(title: string, bars: readonly Bar[]): string {
  const width = labelWidth + barWidth + textWidth
  const height = rowHeight * bars.length + 8
  const most = bars.reduce((most, { value }) => Math.max(most, value), 0)
  const x = scaleLinear([0, most || 1], [0, barWidth])
  const rows = bars.map(({ label, value, text }, i) => {
    const [top, middle] = [4 + i * rowHeight, 4 + (i + 0.5) * rowHeight]
    const at = labelWidth + x(value)
    return (
      `<text class="end" x="${labelWidth - 8}" y="${middle}" dy=".35em">${escaped(label)}</text>` +
      `<rect class="bar" x="${labelWidth}" y="${top + 3}" width="${x(value).toFixed(1)}" height="${rowHeight - 6}" rx="2"/>` +
      `<text x="${(at + 6).toFixed(1)}" y="${middle}" dy=".35em">${escaped(text)}</text>`
    )
  })
  return (
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">` +
    `<title>${escaped(title)}</title>${rows.join("")}</svg>`
  )
}

const style = `
:root{color-scheme:light dark;--ink:#1d2127;--soft:#5d6570;--paper:#fff;--rule:#dfe3e8;--bar:#4f83bd}
@media(prefers-color-scheme:dark){:root{--ink:#e3e6ea;--soft:#9aa3ae;--paper:#16181c;--rule:#33373d;--bar:#7aa6d6}}
body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:72rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.2rem;margin-top:2.5rem}p,figcaption{color:var(--soft)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{font-weight:600}td.paper,th.paper{color:var(--soft)}
figure{margin:1rem 0}svg{width:100%;max-width:44rem;height:auto}
svg text{font:13px system-ui,sans-serif;fill:var(--ink)}.end{text-anchor:end}.bar{fill:var(--bar)}
@media print{body{max-width:none;padding:0}h2{break-after:avoid}figure,tr{break-inside:avoid}}`

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

const figure = (title: string, bars: readonly Bar[]): string =>
  bars.length === 0
    ? ""
    : `<figure><figcaption>${escaped(title)}</figcaption>${barsSvg(title, bars)}</figure>`

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
  return [
    figure("generation, tokens per second", ofRate("generation")),
    figure("prompt, tokens per second", ofRate("prompt")),
    figure("generation as a share of reading the weights at memory's speed", ofShare),
    figure("time of a token beyond that of the model without norms", overhead),
  ].join("\n")
}

interface Measured {
  readonly machine: Machine
  /** What the tables were measured with: threads, build, lengths. */
  readonly protocol: string
  readonly lines: readonly TableLine[]
}

/** A whole page of HTML. */
export function reportHtml(
  tables: readonly PaperTable[],
  { machine, protocol, lines }: Measured,
): string {
  const { cpu, cores, memoryBytes, os, runtime } = machine
  const memory = `${(memoryBytes / 2 ** 30).toFixed(0)} GiB`
  const sections = tables.map((table) => {
    const own = lines.filter((line) => line.table === table.name)
    return (
      `<section><h2>Table ${table.name}: ${escaped(table.title)}</h2>${tableHtml(own)}` +
      `<p>Tokens per second. The paper's numbers are of another machine: ${escaped(table.on)}.</p>` +
      `${figuresOf(own)}</section>`
    )
  })
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>OpenELM's throughput on ${escaped(cpu)}</title>
<style>${style}</style>
<h1>OpenELM's throughput tables, measured again</h1>
<p>${escaped(`${cpu}, ${cores} cores, ${memory}; ${os}; ${runtime}`)}<br>${escaped(protocol)}</p>
${sections.join("\n")}
</html>
`
}
