// `elm bench table`: the paper's throughput tables on this machine, the paper's own numbers beside.
import { paperGeneratedTokens, paperTables } from "../../bench/tables/paper.ts"
import { path, usageError } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { oneOf, toggle, under, valued } from "../line/flags.ts"
import { generated, prompt } from "../line/lengths.ts"
import { dtype, headings, json, machine, repeat } from "../line/options.ts"
import { measureTables, tableOf, tablesFolder } from "../line/paper_tables.ts"

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
    charts: toggle("also how the first table's 270M goes with threads, context and batch"),
    again: toggle("measure rows that the folder has already"),
  }),
  ...under(headings.output, {
    out: valued("<folder>", "where rows are kept, and sheets written", path, tablesFolder),
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
  run(flags, { args: [name], given }) {
    const idle = flags.quick ? given("generate", "repeat") : ""
    if (idle) throw usageError(`--quick has lengths of its own, got ${idle}. Leave it out`)
    const { quick, generate = quick ? 32 : paperGeneratedTokens, out: folder } = flags
    const repeat = quick ? 2 : flags.repeat
    return measureTables(name, { ...flags, generate, folder, repeat })
  },
})
