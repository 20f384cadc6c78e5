// `elm bench drive`: processor time of handing one token's plan to a GPU, without a GPU.
import { benchDrive, type DriveRow } from "../../bench/measure/drive.ts"
import { command } from "../line/command.ts"
import { under } from "../line/flags.ts"
import { cache, dtype, headings, json, repeat, sizes } from "../line/options.ts"
import { spreadText } from "../terminal/amounts.ts"
import { tabulate } from "../terminal/output.ts"
import type { TableOf } from "../terminal/table.ts"

const table: TableOf<DriveRow> = {
  title: "a token, driven without a GPU",
  columns: [
    { name: "model", rank: 0, left: true, least: 12, text: (row) => `${row.model} ${row.dtype}` },
    { name: "dispatches", rank: 1, text: (row) => row.dispatchesPerToken },
    { name: "submits", rank: 3, text: (row) => row.submitsPerToken },
    { name: "readbacks", rank: 4, text: (row) => row.readbacksPerToken },
    { name: "bind groups", rank: 5, text: (row) => row.bindGroupsPerToken },
    { name: "caller ms", rank: 2, text: (row) => spreadText(row.callerMs) },
    { name: "processor ms", rank: 0, text: (row) => spreadText(row.processorMs) },
  ],
}

export const drive = command({
  name: "drive",
  description: "time handing a token's plan to a GPU, without a GPU",
  flags: {
    ...under(headings.model, { model: sizes("sizes to drive", ["270M"]), dtype, cache }),
    ...under(headings.measurement, { repeat: repeat("measurements of 200 tokens each", 9) }),
    ...json,
  },
  tables: [table],
  run: (flags) =>
    tabulate("elm-bench-drive/1", flags, table, (report) => benchDrive(flags, report)),
})
