// The paper's tables as a command measures them: lines on the terminal, sheets in a folder.
import { join } from "node:path"
import { busyShare } from "../../bench/measure/foreign.ts"
import { machine as thisMachine } from "../../bench/measure/machine.ts"
import type { Report } from "../../bench/measure/report.ts"
import type { ThroughputRow } from "../../bench/measure/throughput.ts"
import { keptCharts, type MeasuredChart, measureCharts } from "../../bench/tables/charts.ts"
import {
  headingOf,
  type PaperTable,
  paperTables,
  published,
  type TableHead,
} from "../../bench/tables/paper.ts"
import { reportHtml } from "../../bench/tables/report.ts"
import { csvOf, markdownOf } from "../../bench/tables/sheets.ts"
import { measureOn, runTables, type TableLine } from "../../bench/tables/table.ts"
import { printable, publishedConfig, threeDigits } from "../../model/index.ts"
import { percent } from "../terminal/amounts.ts"
import { writeWhole } from "../terminal/files.ts"
import { measured } from "../terminal/output.ts"
import { type TableOf, tableText } from "../terminal/table.ts"
import type { BenchMachine } from "../terminal/throughput.ts"
import { openFor } from "./open.ts"

const columns: TableOf<TableLine>["columns"] = [
  { name: "model", rank: 0, left: true, least: 12, text: ({ label }) => label },
  ...(["prompt", "generation", "total"] as const).map((name, i) => ({
    name: `${name} tok/s`,
    rank: i === 1 ? 0 : i + 1,
    text: ({ rates, skipped }: TableLine) =>
      rates ? threeDigits(rates[name]) : i === 1 ? skipped : undefined,
  })),
  ...(["prompt", "generation", "total"] as const).map((name, i) => ({
    name: `paper: ${name}`,
    rank: i === 1 ? 4 : i + 7,
    text: ({ paper }: TableLine) => paper && threeDigits(paper[name]),
  })),
]

const shares: TableOf<TableLine>["columns"] = [
  {
    name: "% bandwidth",
    rank: 5,
    text: ({ bandwidthFraction: share }) => (share === undefined ? undefined : percent(share)),
  },
]

const normColumns: TableOf<TableLine>["columns"] = [
  { name: "norms/token", rank: 6, text: ({ normsPerToken }) => normsPerToken },
  { name: "ratio to none", rank: 1, text: ({ generationRatio: ratio }) => ratio?.toFixed(3) },
]

const busy: TableOf<TableLine>["columns"][number] = {
  name: "other work",
  rank: 6,
  text: ({ foreignShare = 0 }) => (foreignShare > busyShare ? percent(foreignShare) : undefined),
}

/** A table for people. */
export const tableOf = (table: PaperTable): TableOf<TableLine> => ({
  title: `${headingOf(table)}. The paper's numbers: ${table.on}`,
  columns: [...columns, ...(table.name === "8" ? normColumns : shares), busy],
  isDim: ({ skipped }) => skipped !== undefined,
})

/** Where tables are kept unless --out says otherwise. */
export const tablesFolder = "elm-tables"

/** What the charts are of. */
const chartedModel = "270M"

interface ChartFlags {
  /** Measures the charts too. */
  readonly charts?: true | undefined
}

type TableFlags = Parameters<typeof runTables>[2] &
  ChartFlags &
  Parameters<typeof openFor>[0] &
  Parameters<typeof measured>[0]

/** Measures the table of a name, or all, writes the sheets, and prints them. */
export async function measureTables(name: string, flags: TableFlags): Promise<void> {
  const { folder, prompt, generate, repeat } = flags
  const tables = paperTables.filter((each) => name === "all" || each.name === name)
  await measured(
    flags,
    async (report) => {
      const done = (text: string) => console.error(printable(text))
      const { lines, threads, build } = await linesOf(tables, flags, report, done)
      const charts = await chartsOf(flags, threads, report)
      const protocol =
        `${build}, ${threads} threads; ${prompt} prompt tokens, ${generate} generated, greedy, ` +
        `batch 1, seeded random weights; medians of ${repeat}`
      await writeSheets(folder, tables, { machine: thisMachine(), protocol, lines, charts })
      return lines
    },
    (rows) => ({
      text: [
        ...tables.map((each) => tableText(tableOf(each), rowsOf(each, rows))),
        `kept in ${folder}: report.html, results.json, results.csv, tables.md`,
      ].join("\n"),
      json: { schema: "elm-bench-tables/1", machine: thisMachine(), rows },
    }),
  )
}

async function linesOf(
  tables: readonly PaperTable[],
  flags: TableFlags,
  report: Report,
  done: (text: string) => void,
) {
  await using backend = await openFor(flags, report)
  const { threads = 1, build } = backend
  const work = { measure: measureOn(backend), report, done }
  return { lines: await runTables(tables, backend, flags, work), threads, build }
}

/** Measured where they are asked for, or those that the folder has. */
async function chartsOf(
  flags: TableFlags,
  threads: number,
  report: Report,
): Promise<readonly MeasuredChart[]> {
  const open = (count: number) => openFor({ ...flags, threads: count })
  const subject = { config: publishedConfig(chartedModel), dtype: flags.dtype, threads, open }
  if (flags.charts) return measureCharts(subject, flags, report)
  return keptCharts(subject, flags) ?? []
}

const rowsOf = ({ name }: PaperTable, rows: readonly TableLine[]): TableLine[] =>
  rows.filter(({ table }) => table === name)

/** What a throughput's report is of. */
const ofThroughput: TableHead = { name: "", title: "Throughput", on: "RTX 4090, bf16" }

/** Writes the sheets of `elm bench`, with its own JSON as results. */
export async function writeReport(
  folder: string,
  result: { readonly machine: BenchMachine; readonly rows: readonly ThroughputRow[] },
): Promise<void> {
  const { machine, rows } = result
  const lines = rows.map((row): TableLine => {
    const { model, dtype, bandwidthFraction, repeats } = row
    const rates = {
      prompt: row.promptTokensPerSecond,
      generation: row.generationTokensPerSecond,
      total: row.totalTokensPerSecond,
    }
    const paper = published(model)?.cuda
    return { table: "", label: `${model} ${dtype}`, paper, rates, bandwidthFraction, repeats }
  })
  const [first] = rows
  const lengths = first && `${first.promptTokens} prompt tokens, ${first.generatedTokens} generated`
  const protocol =
    `${machine.build}, ${machine.threads} threads; ${lengths}, greedy, batch 1; ` +
    `medians of ${first?.repeats.length}`
  await writeSheets(folder, [ofThroughput], { machine, protocol, lines }, result)
}

async function writeSheets(
  folder: string,
  tables: readonly TableHead[],
  measured: Parameters<typeof reportHtml>[1],
  own?: object,
): Promise<void> {
  const { lines: rows, ...rest } = measured
  const write = (name: string, text: string) => writeWhole(join(folder, name), text)
  const result = own ?? { schema: "elm-bench-tables/1", ...rest, rows }
  await write("results.json", `${JSON.stringify(result, null, 2)}\n`)
  await write("results.csv", csvOf(rows))
  await write("tables.md", markdownOf(tables, rows))
  await write("report.html", reportHtml(tables, measured))
}
