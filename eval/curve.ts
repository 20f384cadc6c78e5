// Accuracy of checkpoints over the iterations of their training, as files have it.  arXiv 2404.14619, figure 1
import type { Results } from "./results.ts"
import { type Suite, scoresOf } from "./suites.ts"

/** A checkpoint's scores. */
export interface CurvePoint {
  readonly checkpoint: string
  /** Of an average that of the last one in it. */
  readonly iteration: number
  /** Of an average: how many checkpoints it is of. */
  readonly averageOf?: number
  readonly results: Results["results"]
}

/** Scores in percent, by task, and their mean: null where that is not known. */
interface PointJson extends Pick<CurvePoint, "checkpoint" | "iteration" | "averageOf"> {
  readonly scores: Readonly<Record<string, number | null>>
  readonly stderr: Readonly<Record<string, number | null>>
  readonly average: number | null
}

function pointJson(suite: Suite, { results, ...point }: CurvePoint): PointJson {
  const { scores, average } = scoresOf(suite, results)
  const named = <T>(valueAt: (i: number) => T): Record<string, T> =>
    Object.fromEntries(suite.columns.map(({ task }, i) => [task, valueAt(i)]))
  const errorAt = (i: number): number | null => {
    const { task, metric } = suite.columns[i] as Suite["columns"][number]
    const error = results[task]?.[`${metric}_stderr,none`]
    return typeof error === "number" ? 100 * error : null
  }
  return {
    ...point,
    scores: named((i) => scores[i] ?? null),
    stderr: named(errorAt),
    average: average ?? null,
  }
}

export const curveJson = (suite: Suite, points: readonly CurvePoint[]): object => ({
  schema: "elm-eval-curve/1",
  suite: suite.name,
  columns: suite.columns,
  points: points.map((point) => pointJson(suite, point)),
})

/** A field that a comma, a quote or an end of a line is in stands in quotes.  RFC 4180 */
const field = (value: string | number | null | undefined): string => {
  const text = value == null ? "" : String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** A line for each point, after one of names; what is not known is empty. */
export function curveCsv(suite: Suite, points: readonly CurvePoint[]): string {
  const tasks = suite.columns.map(({ task }) => task)
  const head = ["iteration", "average_of", ...tasks, "average", "checkpoint"]
  const lines = points.map((point) => {
    const { scores, average, iteration, averageOf, checkpoint } = pointJson(suite, point)
    return [iteration, averageOf, ...tasks.map((task) => scores[task]), average, checkpoint]
  })
  return [head, ...lines].map((line) => `${line.map(field).join(",")}\n`).join("")
}
