// Accuracy over the iterations of a training as a picture, in characters, and as a table.
import type { CurvePoint } from "../../eval/curve.ts"
import { type Suite, scoresOf } from "../../eval/suites.ts"
import type { Chart, Series } from "../../train/run/chart.ts"
import { suiteTables } from "./evaluation.ts"
import { tableText } from "./table.ts"

/** What a line is of: a task, or the mean of all. */
interface Measure {
  readonly name: string
  of(point: CurvePoint): number | undefined
}

const meanOf = (suite: Suite): Measure => ({
  name: "average",
  of: ({ results }) => scoresOf(suite, results).average,
})

const tasksOf = (suite: Suite): Measure[] =>
  suite.columns.map(({ title }, i) => ({
    name: title,
    of: ({ results }) => scoresOf(suite, results).scores[i],
  }))

const isAverage = ({ averageOf }: CurvePoint): boolean => averageOf !== undefined

/** Points of a measure, of averages of checkpoints or of single ones. */
const pointsOf = (
  points: readonly CurvePoint[],
  { of }: Measure,
  averages: boolean,
): (readonly [number, number])[] =>
  points.flatMap((point) => {
    const value = isAverage(point) === averages ? of(point) : undefined
    return value === undefined ? [] : [[point.iteration, value] as const]
  })

const averageName = (points: readonly CurvePoint[]): string =>
  `average of the last ${points.find(isAverage)?.averageOf} checkpoints`

const chartOf = (suite: Suite, series: readonly Series[], more = ""): Chart => ({
  title: `${suite.name}, accuracy by iteration`,
  x: `iteration of the training${more}`,
  y: "accuracy, percent",
  series,
})

/** All tasks and their mean, an SVG file's text; "" without any score. */
export async function curveSvg(suite: Suite, points: readonly CurvePoint[]): Promise<string> {
  const series = [...tasksOf(suite), meanOf(suite)].map((measure) => ({
    name: measure.name,
    marked: true,
    points: pointsOf(points, measure, false),
    bullets: pointsOf(points, measure, true),
  }))
  if (series.every((each) => each.points.length === 0)) return ""
  const more = points.some(isAverage) ? `; large: ${averageName(points)}` : ""
  const { chartSvg } = await import("../../train/run/chart.ts")
  return chartSvg(chartOf(suite, series, more))
}

/** A table, and a chart of the mean where there is one, else of the tasks that there are. */
export async function curveText(suite: Suite, points: readonly CurvePoint[]): Promise<string> {
  const table = suiteTables.get(suite.name) as NonNullable<ReturnType<typeof suiteTables.get>>
  const rows = points.map((point) => ({
    name: isAverage(point) ? averageName(points) : `iteration ${point.iteration}`,
    ...scoresOf(suite, point.results),
    isPaper: false,
  }))
  const text = tableText(table, rows)
  const isWhole = points.every((point) => meanOf(suite).of(point) !== undefined)
  const series = (isWhole ? [meanOf(suite)] : tasksOf(suite)).flatMap((measure) => [
    { name: measure.name, points: pointsOf(points, measure, false) },
    { name: averageName(points), points: pointsOf(points, measure, true) },
  ])
  const shown = isWhole ? series : series.filter((_, i) => i % 2 === 0)
  if (shown.every((each) => each.points.length < 2)) return text
  const columns = Math.min(process.stdout.columns || 80, 100)
  return `${text}\n\n${(await import("./chart.ts")).chartText(chartOf(suite, shown), columns)}`
}
