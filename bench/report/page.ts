// A page of measurements to share: no network, light and dark, readable on a phone, printable.
import { type Chart, chartSvg, drawn, escaped } from "../../train/run/chart.ts"
import type { Machine } from "../measure/machine.ts"

export { escaped }

const style = `
:root{color-scheme:light dark;--ink:#1d2127;--soft:#5d6570;--paper:#fff;--rule:#dfe3e8;--bar:#4f83bd}
@media(prefers-color-scheme:dark){:root{--ink:#e3e6ea;--soft:#9aa3ae;--paper:#16181c;--rule:#33373d;--bar:#7aa6d6}}
body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:72rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.2rem;margin-top:2.5rem}p,figcaption{color:var(--soft)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
th{font-weight:600;white-space:normal;vertical-align:bottom}td.paper,th.paper{color:var(--soft)}
figure{margin:1rem 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));column-gap:2rem}
svg{width:100%;max-width:44rem;height:auto}
svg text{font:13px system-ui,sans-serif;fill:var(--ink)}.end{text-anchor:end}.bar{fill:var(--bar)}
@media(max-width:30rem){svg[width] text{font-size:17px}.figures{display:block}}
@media print{body{max-width:none;padding:0}h2{break-after:avoid}figure,tr{break-inside:avoid}}`

interface Page {
  readonly title: string
  readonly heading: string
  readonly machine: Machine
  /** What it was measured with: threads, build, lengths. */
  readonly protocol: string
  /** HTML of each. */
  readonly sections: readonly string[]
}

/** A whole page of HTML. */
export function pageHtml({ title, heading, machine, protocol, sections }: Page): string {
  const { cpu, cores, memoryBytes, os, runtime } = machine
  const memory = `${(memoryBytes / 2 ** 30).toFixed(0)} GiB`
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>${escaped(`${title} on ${cpu}`)}</title>
<style>${style}</style>
<h1>${escaped(heading)}</h1>
<p>${escaped(`${cpu}, ${cores} cores, ${memory}; ${os}; ${runtime}`)}<br>${escaped(protocol)}</p>
${sections.join("\n")}
</html>
`
}

/** A picture with its caption. */
export const figure = (caption: string, svg: string): string =>
  `<figure><figcaption>${escaped(caption)}</figcaption>${svg}</figure>`

/** Pictures side by side where there is room. */
export const figuresHtml = (figures: readonly string[]): string =>
  `<div class="figures">${figures.filter(Boolean).join("\n")}</div>`

/** Lines over an axis; "" without any points. */
export const linesFigure = (chart: Chart): string =>
  drawn(chart).length === 0 ? "" : figure(chart.title, chartSvg(chart))
