// What a person sees of an evaluation: how far it is, its results as the original prints them, and a row
// beside the paper's.
import type { Report } from "../../bench/measure/report.ts"
import type { EvaluationProgress, Results } from "../../eval/index.ts"
import { paperModels } from "../../eval/paper.ts"
import { type Suite, scoresOf, suites } from "../../eval/suites.ts"
import { duration } from "./amounts.ts"
import { dim } from "./colour.ts"
import { type TableOf, tableText } from "./table.ts"

/** Says how far the task is, and how long it will take as it went so far. */
export function progressOf(report: Report): (progress: EvaluationProgress) => void {
  let begun = { task: "", time: 0, done: 0 }
  return ({ task, done, of, allDone, allOf }) => {
    const time = performance.now()
    if (task !== begun.task) begun = { task, time, done }
    const each = (time - begun.time) / (done - begun.done)
    const left = Number.isFinite(each) ? `, ${duration(each * (of - done))} left` : ""
    report(`${task}: ${done} of ${of} documents${left}; of all tasks`, allDone / allOf)
  }
}

interface MetricRow {
  readonly name: string
  readonly version: number | undefined
  readonly filter: string
  readonly shots: number
  readonly metric: string
  readonly value: number
  readonly error: number | string
}

export const metricTable: TableOf<MetricRow> = {
  columns: [
    { name: "task", rank: 0, left: true, text: ({ name }) => name },
    { name: "version", rank: 4, text: ({ version }) => version },
    { name: "filter", rank: 4, left: true, text: ({ filter }) => filter },
    { name: "shots", rank: 2, text: ({ shots }) => shots },
    { name: "metric", rank: 0, left: true, text: ({ metric }) => metric },
    { name: "value", rank: 0, text: ({ value }) => value.toFixed(4) },
    {
      name: "± stderr",
      rank: 1,
      text: ({ error }) => (typeof error === "number" ? error.toFixed(4) : error),
    },
  ],
}

export const metricRows = (all: Results): MetricRow[] =>
  Object.entries(all.results).flatMap(([task, entry]) =>
    Object.entries(entry).flatMap(([key, value], i) => {
      const [metric = "", filter] = key.split(",")
      if (filter === undefined || metric.endsWith("_stderr")) return []
      const isFirst = Object.keys(entry).findIndex((each) => each.includes(",")) === i
      return [
        {
          name: isFirst ? entry.alias : "",
          version: isFirst ? all.versions[task] : undefined,
          ...{ filter, metric, shots: all["n-shot"][task] ?? 0, value: value as number },
          error: entry[`${metric}_stderr,${filter}`] ?? "N/A",
        },
      ]
    }),
  )

interface SuiteRow {
  readonly name: string
  readonly scores: readonly (number | undefined)[]
  readonly average: number | undefined
  readonly isPaper: boolean
}

const percentText = (score: number | undefined): string | undefined => score?.toFixed(2)

function tableOf({ name, table, columns }: Suite): TableOf<SuiteRow> {
  return {
    title: `Table ${table}: ${name}, in percent`,
    columns: [
      { name: "model", rank: 0, left: true, text: (row) => row.name },
      ...columns.map(({ title }, i) => ({
        name: title,
        rank: 1 + i,
        text: ({ scores }: SuiteRow) => percentText(scores[i]),
      })),
      { name: "average", rank: 0, text: ({ average }) => percentText(average) },
    ],
    isDim: ({ isPaper }) => isPaper,
  }
}

export const suiteTables: ReadonlyMap<string, TableOf<SuiteRow>> = new Map(
  suites.map((suite) => [suite.name, tableOf(suite)]),
)

/** The row of a model, and above it those of the paper, where they are asked for. */
export function suiteText(
  suite: Suite,
  model: string,
  results: Results["results"],
  withPaper: boolean,
): string {
  const own = { name: model, ...scoresOf(suite, results), isPaper: false }
  const paper = paperModels.flatMap(({ name, suites: all }) => {
    const printed = all[suite.name]
    return printed && withPaper ? [{ name, ...printed, isPaper: true }] : []
  })
  return tableText(suiteTables.get(suite.name) as TableOf<SuiteRow>, [...paper, own])
}

/** What is not whole, or not all of it; "" where nothing is missing. */
export function partialText({ partial = {} }: Results): string {
  const parts = Object.entries(partial).map(([task, [done, of]]) => `${task} ${done} of ${of}`)
  return parts.length === 0 ? "" : dim(`Partial: of these documents alone: ${parts.join(", ")}`)
}
