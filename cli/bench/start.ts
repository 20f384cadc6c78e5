// `elm bench start`: how long a program waits before the first token.
import { benchStart, type StartRow } from "../../bench/measure/start.ts"
import { command } from "../line/command.ts"
import { under } from "../line/flags.ts"
import { headings, json, repeat } from "../line/options.ts"
import { spreadText } from "../terminal/amounts.ts"
import { tabulate } from "../terminal/output.ts"
import type { TableOf } from "../terminal/table.ts"

const table: TableOf<StartRow> = {
  columns: [
    { name: "what", rank: 0, left: true, least: 16, text: ({ what }) => what },
    { name: "ms", rank: 1, text: ({ milliseconds }) => spreadText(milliseconds) },
    { name: "of node -e 0", rank: 0, text: ({ ratio }) => `${ratio.toFixed(2)} ×` },
  ],
}

export const start = command({
  name: "start",
  description: "time what a program waits for before its first token, beside `node -e 0`",
  flags: {
    ...under(headings.measurement, { repeat: repeat("processes of each, in turns", 9) }),
    ...json,
  },
  tables: [table],
  run: (flags) =>
    tabulate("elm-bench-start/1", flags, table, (report) => benchStart(flags.repeat, report)),
})
