// `elm bench scores`: how fast an evaluation's requests are answered, beside the speed of a prompt.
import { benchScores, type ScoresRow } from "../../bench/measure/scores.ts"
import { publishedNames } from "../../model/index.ts"
import { command } from "../line/command.ts"
import { choice, under } from "../line/flags.ts"
import { onBackend } from "../line/open.ts"
import { dtype, headings, json, machine, repeat } from "../line/options.ts"
import { spreadText } from "../terminal/amounts.ts"
import { tabulate } from "../terminal/output.ts"
import type { TableOf } from "../terminal/table.ts"

const table: TableOf<ScoresRow> = {
  columns: [
    { name: "requests", rank: 0, left: true, text: ({ requests }) => requests },
    { name: "tokens", rank: 3, text: ({ tokens }) => tokens },
    { name: "read", rank: 3, text: ({ tokensRead }) => tokensRead },
    { name: "tok/s", rank: 1, text: (row) => spreadText(row.tokensPerSecond) },
    { name: "read/s", rank: 2, text: (row) => spreadText(row.readPerSecond) },
    { name: "prompt tok/s", rank: 2, text: (row) => spreadText(row.promptTokensPerSecond) },
    { name: "tok/s over prompt", rank: 0, text: (row) => row.tokensOverPrompt.toFixed(2) },
    { name: "read/s over prompt", rank: 0, text: (row) => row.readOverPrompt.toFixed(2) },
  ],
}

export const scores = command({
  name: "scores",
  description: "time an evaluation's requests in turns with a prompt of 512 tokens",
  flags: {
    ...under(headings.model, {
      model: choice("a released size, with seeded random weights", publishedNames, "OpenELM-270M"),
      dtype,
    }),
    ...under(headings.measurement, { repeat: repeat("turns measured", 3) }),
    ...machine,
    ...json,
  },
  tables: [table],
  run: (flags) =>
    tabulate("elm-bench-scores/1", flags, table, (report) =>
      onBackend(flags, (backend) => benchScores(backend, flags, report)),
    ),
})
