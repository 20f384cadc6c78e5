// Bars side by side from one zero, as a picture in a page.
import { scaleLinear } from "d3-scale"
import { escaped, figure } from "./page.ts"

export interface Bar {
  readonly label: string
  readonly value: number
  readonly text: string
}

/** A number of a few digits for people. */
export const number = (x: number): string =>
  x < 10 ? x.toFixed(2) : x < 100 ? x.toFixed(1) : Math.round(x).toLocaleString("en")

const [barWidth, textWidth, rowHeight] = [250, 80, 26] as const
/** Of letters of 13 pixels, many of them capitals, in the widest of the fonts that systems have. */
const letterWidth = 9

/** Bars side by side from one zero, an SVG's text. */
function barsSvg(title: string, bars: readonly Bar[]): string {
  const letters = bars.reduce((most, { label }) => Math.max(most, label.length), 12)
  const labelWidth = Math.ceil(letters * letterWidth) + 8
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

/** Bars with a caption; "" without any. */
export const barsFigure = (caption: string, bars: readonly Bar[]): string =>
  bars.length === 0 ? "" : figure(caption, barsSvg(caption, bars))
