// `elm bench norms`: the paper's table 8 on this machine; with --alone, RMSNorm by itself.
import { benchNormRows, type NormRowsResult } from "../../bench/measure/norm_rows.ts"
import { benchNorms, type NormRow } from "../../bench/measure/norms.ts"
import { publishedConfig, threeDigits } from "../../model/index.ts"
import { usageError } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { toggle, under, valued } from "../line/flags.ts"
import { checkFits, generated, prompt } from "../line/lengths.ts"
import { onBackend } from "../line/open.ts"
import { dtype, headings, json, machine, repeat, sizes } from "../line/options.ts"
import { spreadText } from "../terminal/amounts.ts"
import { tabulate } from "../terminal/output.ts"
import type { TableOf } from "../terminal/table.ts"

/** Table 8, with the ratio to the model without norms. */
const table: TableOf<NormRow> = {
  columns: [
    { name: "model", rank: 0, left: true, least: 12, text: (row) => row.model },
    {
      name: "norm (per token)",
      rank: 0,
      left: true,
      text: (row) => `${row.norm} (${row.normsPerToken})`,
    },
    { name: "steps/token", rank: 6, text: (row) => row.stepsPerToken },
    { name: "prompt tok/s", rank: 4, text: (row) => threeDigits(row.promptTokensPerSecond) },
    {
      name: "generation tok/s",
      rank: 1,
      text: (row) => threeDigits(row.generationTokensPerSecond),
    },
    { name: "total tok/s", rank: 5, text: (row) => threeDigits(row.totalTokensPerSecond) },
    { name: "prompt ratio", rank: 3, text: (row) => row.promptRatio.toFixed(3) },
    { name: "generation ratio", rank: 0, text: (row) => row.generationRatio.toFixed(3) },
    { name: "µs/token in norms", rank: 2, text: (row) => row.normMicroseconds.toFixed(0) },
  ],
}

const aloneTable: TableOf<NormRowsResult> = {
  columns: [
    { name: "rows", rank: 0, text: ({ rows }) => rows },
    { name: "width", rank: 1, text: ({ width }) => width },
    { name: "naive µs", rank: 3, text: (row) => row.naiveMicroseconds.toFixed(2) },
    { name: "fused µs", rank: 2, text: (row) => row.fusedMicroseconds.toFixed(2) },
    {
      name: "naive / fused",
      rank: 0,
      text: ({ ratio }) => spreadText(ratio, (x) => x.toFixed(1)),
    },
  ],
}

export const norms = command({
  name: "norms",
  description: "compare ways to run the norms (the paper's table 8)",
  flags: {
    ...under(headings.model, { model: sizes("sizes to measure", ["270M", "1.1B"]), dtype }),
    ...under(headings.measurement, {
      prompt,
      generate: valued("<n>", "tokens to generate", generated, 32),
      repeat: repeat("measurements of each, in turns", 5),
      alone: toggle("RMSNorm by itself: 1 and 36 rows of 2048, naive and fused"),
    }),
    ...machine,
    ...json,
  },
  tables: [table, aloneTable],
  run(flags, { given }) {
    if (flags.alone) {
      const idle = given("model", "dtype", "prompt", "generate")
      if (idle) throw usageError(`--alone has no model, got ${idle}. Leave it out`)
      return tabulate("elm-bench-norm-rows/1", flags, aloneTable, (report) =>
        onBackend(flags, (backend) => benchNormRows(backend, flags, report)),
      )
    }
    for (const name of flags.model) checkFits(flags, publishedConfig(name))
    return tabulate("elm-bench-norms/1", flags, table, (report) =>
      onBackend(flags, (backend) => benchNorms(backend, flags, report)),
    )
  },
})
