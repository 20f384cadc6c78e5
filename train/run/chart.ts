// Lines over a linear axis as a picture (SVG); scales, ticks and paths are D3's.
import { scaleLinear } from "d3-scale"
import { line } from "d3-shape"

export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
  /** Whether each point is marked. */
  readonly marked?: boolean
  /** Points beside the line, marked larger. */
  readonly bullets?: readonly (readonly [x: number, y: number])[]
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
  ["#2f855a", "#68d391"],
  ["#7e57c2", "#b39ddb"],
  ["#b7791f", "#ecc94b"],
  ["#c53030", "#fc8181"],
  ["#0e7490", "#67e8f9"],
  ["#6b7280", "#d1d5db"],
] as const

const [width, height] = [720, 420] as const
const margin = { top: 44, right: 32, bottom: 52, left: 64 } as const

const extent = (values: readonly number[]): [number, number] => [
  values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
  values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
]

/** Those with points. */
export const drawn = ({ series }: Chart): readonly Series[] =>
  series.filter((s) => s.points.length > 0)

/** Scales over all points, with round ends on the vertical axis, also where they are level. */
export function scales(
  chart: Chart,
  [left, right]: [number, number],
  [bottom, top]: [number, number],
) {
  const all = drawn(chart).flatMap(({ points, bullets = [] }) => [...points, ...bullets])
  const x = scaleLinear(extent(all.map(([x]) => x)), [left, right])
  const [low, high] = extent(all.map(([, y]) => y))
  const more = low === high ? 1 : 0
  const y = scaleLinear([low - more, high + more], [bottom, top]).nice(10)
  return { x, y }
}

/** Names beside each other above the lines; more of them stand in rows below. */
const mostAbove = 3
const inRow = 3
const rowHeight = 22

/** The class of a series' colour: after the last they begin again. */
const colourOf = (i: number): number => i % colours.length

/** An SVG file's text, for light and dark surroundings. `chart` has at least one point. */
export function chartSvg(chart: Chart): string {
  const [right, bottom] = [width - margin.right, height - margin.bottom]
  const { x, y } = scales(chart, [margin.left, right], [bottom, margin.top])
  const count = drawn(chart).length
  const whole = height + (count > mostAbove ? rowHeight * Math.ceil(count / inRow) : 0)
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
  const lines = drawn(chart).map(({ points, marked, bullets = [] }, i) => {
    const dots = marked ? points.map(([a, b]) => circle(`f${colourOf(i)}`, x(a), y(b), 3)) : []
    const large = bullets.map(([a, b]) => circle(`f${colourOf(i)} bullet`, x(a), y(b), 5.5))
    return `<path class="s${colourOf(i)}" d="${path(points)}"/>${[...dots, ...large].join("")}`
  })
  const middle = (margin.top + bottom) / 2
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${whole}" role="img" width="${width}" height="${whole}">
<title>${escaped(chart.title)}</title>
<style>${style}</style>
<rect class="paper" width="${width}" height="${whole}"/>
${grid.join("\n")}
<line class="axis" x1="${margin.left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>
${lines.join("\n")}
${legend(chart)}
<text class="mid" x="${(margin.left + right) / 2}" y="${height - 12}">${escaped(chart.x)}</text>
<text class="mid" transform="translate(18 ${middle}) rotate(-90)">${escaped(chart.y)}</text>
</svg>
`
}

const circle = (kind: string, x: number, y: number, radius: number): string =>
  `<circle class="${kind}" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${radius}"/>`

function legend(chart: Chart): string {
  const names = drawn(chart).map(({ name }) => name)
  const isAbove = names.length <= mostAbove
  return names
    .map((name, i) => {
      const column = (width - margin.left - margin.right) / inRow
      const [x, y] = isAbove
        ? [width - margin.right - 130 * (names.length - i), 24]
        : [margin.left + column * (i % inRow), height + 8 + rowHeight * Math.floor(i / inRow)]
      const rule = `<line class="s${colourOf(i)}" x1="${x}" x2="${x + 22}" y1="${y}" y2="${y}"/>`
      return `${rule}<text x="${x + 28}" y="${y}" dy=".35em">${escaped(name)}</text>`
    })
    .join("\n")
}

const style = [
  "text{font:13px system-ui,sans-serif;fill:#333}.mid{text-anchor:middle}.end{text-anchor:end}",
  ".bullet{stroke:#fff;stroke-width:1.2}.paper{fill:#fff}.grid{stroke:#e5e5e5}.axis{stroke:#888}path{fill:none}",
  ...colours.map(([c], i) => `.s${i}{stroke:${c};stroke-width:1.6}.f${i}{fill:${c}}`),
  "@media(prefers-color-scheme:dark){text{fill:#ccc}.paper{fill:#16181c}.bullet{stroke:#16181c}.grid{stroke:#33373d}",
  ...colours.map(([, c], i) => `.s${i}{stroke:${c}}.f${i}{fill:${c}}`),
  "}",
].join("")

/** As text within HTML and SVG. */
export const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => `&#${(c.codePointAt(0) as number).toString()};`)
