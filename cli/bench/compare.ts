// `elm bench compare`: two results of the same measurements, and whether the second is slower.
import { type ComparedRow, type Comparison, compareResults } from "../../bench/compare/compare.ts"
import { readResults } from "../../bench/compare/results.ts"
import { printable, threeDigits } from "../../model/index.ts"
import { part, path } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { positional, toggle, under, valued } from "../line/flags.ts"
import { headings, json } from "../line/options.ts"
import { percent } from "../terminal/amounts.ts"
import { measured } from "../terminal/output.ts"
import { type TableOf, tableText } from "../terminal/table.ts"

const valueText = ({ rate }: ComparedRow, value: number): string =>
  rate.endsWith("Share") ? percent(value) : threeDigits(value)

const interval = ({ low, high, verdict }: ComparedRow): string =>
  verdict === "unknown" ? "one repeat" : `${low.toFixed(3)}–${high.toFixed(3)}`

const table: TableOf<ComparedRow> = {
  columns: [
    { name: "row", rank: 0, left: true, least: 12, text: ({ key }) => key },
    { name: "rate", rank: 0, left: true, least: 8, text: ({ rate }) => rate },
    { name: "before", rank: 3, text: (row) => valueText(row, row.before) },
    { name: "after", rank: 3, text: (row) => valueText(row, row.after) },
    { name: "ratio", rank: 0, text: ({ ratio }) => ratio.toFixed(3) },
    { name: "95 %", rank: 1, text: interval },
    { name: "repeats", rank: 4, text: ({ repeats }) => repeats.join(" and ") },
    { name: "verdict", rank: 0, left: true, text: ({ verdict }) => verdict },
  ],
  isDim: ({ verdict }) => verdict === "same",
}

export const compare = command({
  name: "compare",
  description: "compare two results; ends with 1 where the second is slower beyond noise",
  arguments: [
    positional(
      "<before>",
      "what --json FILE wrote, a table's results.json, or a log of either",
      path,
    ),
    positional("<after>", "the same of another run", path),
  ],
  flags: {
    ...under(headings.measurement, {
      tolerance: valued("<part>", "part of a rate that runs differ by without a cause", part, 0.02),
      shares: toggle("compare shares of the ceilings, which a busy machine moves less than rates"),
    }),
    ...json,
  },
  after:
    "Examples:\n" +
    "  elm bench --json before.json\n" +
    "  elm bench compare before.json after.json",
  tables: [table],
  async run(flags, { args: [before, after] }) {
    const { tolerance, shares } = flags
    await measured(
      flags,
      async () => {
        const [a, b] = [readResults(before), readResults(after)]
        return compareResults(a, b, shares ? "shares" : "rates", tolerance)
      },
      (found) => {
        if (found.rows.some(({ verdict }) => verdict === "slower")) process.exitCode = 1
        return {
          text: [tableText(table, found.rows), ...notesOf(found)].join("\n"),
          json: { schema: "elm-bench-compare/1", tolerance, ...found },
        }
      },
    )
  },
})

function notesOf({ rows, differences, onlyBefore, onlyAfter }: Comparison): string[] {
  const slower = rows.filter(({ verdict }) => verdict === "slower").length
  const said = [
    ...differences.map((text) => `not alike: ${text}`),
    ...(onlyBefore.length > 0 ? [`only before: ${onlyBefore.join(", ")}`] : []),
    ...(onlyAfter.length > 0 ? [`only after: ${onlyAfter.join(", ")}`] : []),
    slower > 0
      ? `slower beyond noise: ${slower} of ${rows.length}`
      : "nothing is slower beyond noise",
  ]
  return said.map((text) => printable(text, "line"))
}
