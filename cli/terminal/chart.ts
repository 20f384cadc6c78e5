// Lines over a linear axis in characters.
import { type Chart, drawn, scales } from "../../train/run/chart.ts"

/** What stands for a series' points in characters. */
const symbols = ["·", "●", "○", "×", "+", "◆", "□", "△"] as const

/** The chart, at most `columns` wide; each column has its points' mean. */
export function chartText(chart: Chart, columns: number, rows = 12): string {
  const yTicks = scales(chart, [0, 1], [rows - 1, 0])
  const format = yTicks.y.tickFormat(4)
  const labels = new Map(yTicks.y.ticks(4).map((v) => [Math.round(yTicks.y(v)), format(v)]))
  const left = Math.max(...[...labels.values()].map(({ length }) => length)) + 2
  const { x, y } = scales(chart, [0, columns - left - 1], [rows - 1, 0])
  const cells = Array.from({ length: rows }, () => new Array<string>(columns - left).fill(" "))
  drawn(chart).forEach(({ points }, i) => {
    const byColumn = new Map<number, number[]>()
    for (const [at, value] of points) {
      const column = Math.round(x(at))
      byColumn.set(column, [...(byColumn.get(column) ?? []), value])
    }
    for (const [column, all] of byColumn) {
      const mean = all.reduce((sum, value) => sum + value, 0) / all.length
      const row = cells[Math.round(y(mean))] as string[]
      row[column] = symbols[i % symbols.length] as string
    }
  })
  const body = cells.map((row, i) => {
    const label = labels.get(i)
    return `${(label ?? "").padStart(left - 2)} ${label ? "┤" : "│"}${row.join("")}`.trimEnd()
  })
  const names = drawn(chart).map(({ name }, i) => `${symbols[i % symbols.length]} ${name}`)
  const rule = `${" ".repeat(left - 1)}└${"─".repeat(columns - left)}`
  return [`${chart.title}   ${names.join("   ")}`, ...body, rule, below(x, left, columns)].join(
    "\n",
  )
}

/** Labels of the horizontal axis, each under its tick, as many as stand apart. */
function below(x: ReturnType<typeof scales>["x"], left: number, columns: number): string {
  const format = x.tickFormat(6)
  let line = ""
  for (const v of x.ticks(6)) {
    const label = format(v)
    const start = Math.min(Math.round(left + x(v) - label.length / 2), columns - label.length)
    if (line === "" || start >= line.length + 2) line = line.padEnd(start) + label
  }
  return line
}
