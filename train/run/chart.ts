// Lines over a linear axis as a picture (SVG); scales, ticks and paths are D3's.
import { scaleLinear } from "d3-scale"
import { line } from "d3-shape"

export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
  /** Whether each point is marked. */
  readonly marked?: boolean
}

export interface Chart {
  readonly title: string
  readonly x: string
  readonly y: string
  /** Drawn in this order; those without points are left out, of the legend too. */
  readonly series: readonly Series[]
}

/** Colours on light and on dark paper. */
const colours = [
  ["#4f83bd", "#7aa6d6"],
  ["#c2410c", "#fb923c"],
] as const

const [width, height] = [720, 420] as const
const margin = { top: 44, right: 24, bottom: 52, left: 64 } as const

const extent = (values: readonly number[]): [number, number] => [
  values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
  values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
]

/** Those with points. */
export const drawn = ({ series }: Chart): readonly Series[] =>
  series.filter((s) => s.points.length > 0)

/** Scales over all points, with round ends on the vertical axis. */
export function scales(
  chart: Chart,
  [left, right]: [number, number],
  [bottom, top]: [number, number],
) {
  const all = drawn(chart).flatMap(({ points }) => points)
  const x = scaleLinear(extent(all.map(([x]) => x)), [left, right])
  const y = scaleLinear(extent(all.map(([, y]) => y)), [bottom, top]).nice(10)
  return { x, y }
}

/** An SVG file's text, for light and dark surroundings. `chart` has at least one point. */
export function chartSvg(chart: Chart): string {
  const [right, bottom] = [width - margin.right, height - margin.bottom]
  const { x, y } = scales(chart, [margin.left, right], [bottom, margin.top])
  const [xLabel, yLabel] = [x.tickFormat(8), y.tickFormat(6)]
  const grid = [
    ...y.ticks(6).map((v) => {
      const at = y(v).toFixed(1)
      const rule = `<line class="grid" x1="${margin.left}" x2="${right}" y1="${at}" y2="${at}"/>`
      return `${rule}<text class="end" x="${margin.left - 8}" y="${at}" dy=".35em">${yLabel(v)}</text>`
    }),
    ...x.ticks(8).map((v) => {
      const at = x(v).toFixed(1)
      const rule = `<line class="axis" x1="${at}" x2="${at}" y1="${bottom}" y2="${bottom + 5}"/>`
      return `${rule}<text class="mid" x="${at}" y="${bottom + 20}">${xLabel(v)}</text>`
    }),
  ]
  const path = line<readonly [number, number]>(
    ([v]) => x(v),
    ([, v]) => y(v),
  ).digits(1)
  const lines = drawn(chart).map(({ points, marked }, i) => {
    const dots = marked ? points.map(([a, b]) => circle(i, x(a), y(b))).join("") : ""
    return `<path class="s${i}" d="${path(points)}"/>${dots}`
  })
  const middle = (margin.top + bottom) / 2
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" width="${width}" height="${height}">
<title>${escaped(chart.title)}</title>
<style>${style}</style>
<rect class="paper" width="${width}" height="${height}"/>
${grid.join("\n")}
<line class="axis" x1="${margin.left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>
${lines.join("\n")}
${legend(chart)}
<text class="mid" x="${(margin.left + right) / 2}" y="${height - 12}">${escaped(chart.x)}</text>
<text class="mid" transform="translate(18 ${middle}) rotate(-90)">${escaped(chart.y)}</text>
</svg>
`
}

const circle = (i: number, x: number, y: number): string =>
  `<circle class="f${i}" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="3"/>`

const legend = (chart: Chart): string =>
  drawn(chart)
    .map(({ name }, i) => {
      const at = width - margin.right - 130 * (drawn(chart).length - i)
      const rule = `<line class="s${i}" x1="${at}" x2="${at + 22}" y1="24" y2="24"/>`
      return `${rule}<text x="${at + 28}" y="24" dy=".35em">${escaped(name)}</text>`
    })
    .join("\n")

const style = [
  "text{font:13px system-ui,sans-serif;fill:#333}.mid{text-anchor:middle}.end{text-anchor:end}",
  ".paper{fill:#fff}.grid{stroke:#e5e5e5}.axis{stroke:#888}path{fill:none}",
  ...colours.map(([c], i) => `.s${i}{stroke:${c};stroke-width:1.6}.f${i}{fill:${c}}`),
  "@media(prefers-color-scheme:dark){text{fill:#ccc}.paper{fill:#16181c}.grid{stroke:#33373d}",
  ...colours.map(([, c], i) => `.s${i}{stroke:${c}}.f${i}{fill:${c}}`),
  "}",
].join("")

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => `&#${(c.codePointAt(0) as number).toString()};`)
