// `elm bench table`: the paper's throughput tables on this machine, the paper's own numbers beside.
import { join } from "node:path"
import { busyShare } from "../../bench/measure/foreign.ts"
import { machine as thisMachine } from "../../bench/measure/machine.ts"
import { type PaperTable, paperGeneratedTokens, paperTables } from "../../bench/tables/paper.ts"
import { reportHtml } from "../../bench/tables/report.ts"
import { csvOf, markdownOf } from "../../bench/tables/sheets.ts"
import { measureOn, runTables, type TableLine } from "../../bench/tables/table.ts"
import { printable, threeDigits, writeFileWhole } from "../../model/index.ts"
import { path, usageError } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { oneOf, toggle, under, valued } from "../line/flags.ts"
import { generated, prompt } from "../line/lengths.ts"
import { openFor } from "../line/open.ts"
import { dtype, headings, json, machine, repeat } from "../line/options.ts"
import { percent } from "../terminal/amounts.ts"
import { measured } from "../terminal/output.ts"
import { type TableOf, tableText } from "../terminal/table.ts"

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

const tableOf = ({ name, title, on }: PaperTable): TableOf<TableLine> => ({
  title: `Table ${name}: ${title}. The paper's numbers: ${on}`,
  columns: [...columns, ...(name === "8" ? normColumns : shares), busy],
  isDim: ({ skipped }) => skipped !== undefined,
})

const names = [...paperTables.map(({ name }) => name), "all"]

const flags = {
  ...under(headings.model, { dtype }),
  ...under(headings.measurement, {
    prompt,
    generate: valued(
      "<n>",
      `tokens to generate, default ${paperGeneratedTokens} as in the paper`,
      generated,
    ),
    repeat: repeat("measurements of each row, of which the median is reported", 5),
    quick: toggle("32 generated tokens, twice: all three tables in minutes"),
    again: toggle("measure rows that the folder has already"),
  }),
  ...under(headings.output, {
    out: valued("<folder>", "where rows are kept, and sheets written", path, "elm-tables"),
  }),
  ...machine,
  ...json,
}

export const table = command({
  name: "table",
  description:
    "measure the paper's tables 7a, 7b and 8, all of their models; resumes where it ended",
  arguments: [oneOf("<table>", "which of them", names)],
  flags,
  after: "Examples:\n  elm bench table 7b\n  elm bench table all --quick --out my-tables",
  tables: paperTables.map(tableOf),
  async run(flags, { args: [name], given }) {
    const idle = flags.quick ? given("generate", "repeat") : ""
    if (idle) throw usageError(`--quick has lengths of its own, got ${idle}. Leave it out`)
    const tables = paperTables.filter((each) => name === "all" || each.name === name)
    const { quick, generate = quick ? 32 : paperGeneratedTokens, out: folder } = flags
    const options = { ...flags, generate, folder, repeat: quick ? 2 : flags.repeat }
    await measured(
      flags,
      async (report) => {
        await using backend = await openFor(flags, report)
        const done = (text: string) => console.error(printable(text))
        const work = { measure: measureOn(backend), report, done }
        const lines = await runTables(tables, backend, options, work)
        const { threads = 1, build } = backend
        const protocol =
          `${build}, ${threads} threads; ${options.prompt} prompt tokens, ${generate} generated, greedy, ` +
          `batch 1, seeded random weights; medians of ${options.repeat}`
        await writeSheets(folder, tables, { machine: thisMachine(), protocol, lines })
        return lines
      },
      (rows) => ({
        text: [
          ...tables.map((each) =>
            tableText(
              tableOf(each),
              rows.filter((row) => row.table === each.name),
            ),
          ),
          `kept in ${folder}: report.html, results.json, results.csv, tables.md`,
        ].join("\n"),
        json: { schema: "elm-bench-tables/1", machine: thisMachine(), rows },
      }),
    )
  },
})

async function writeSheets(
  folder: string,
  tables: readonly PaperTable[],
  measured: Parameters<typeof reportHtml>[1],
): Promise<void> {
  const { lines: rows, ...rest } = measured
  const write = (name: string, text: string) =>
    writeFileWhole(join(folder, name), new TextEncoder().encode(text))
  const result = { schema: "elm-bench-tables/1", ...rest, rows }
  await write("results.json", `${JSON.stringify(result, null, 2)}\n`)
  await write("results.csv", csvOf(rows))
  await write("tables.md", markdownOf(tables, rows))
  await write("report.html", reportHtml(tables, measured))
}
