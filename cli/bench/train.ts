// `elm bench train`: tokens per second of whole training steps.
import { benchTrain, type TrainRow, trainCases } from "../../bench/measure/train.ts"
import { bytesText } from "../../model/index.ts"
import { chosenOf } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { choice, toggle, under, valued } from "../line/flags.ts"
import { onBackend } from "../line/open.ts"
import { headings, json, machine, repeat } from "../line/options.ts"
import { percent, spreadText } from "../terminal/amounts.ts"
import { tabulate } from "../terminal/output.ts"
import type { TableOf } from "../terminal/table.ts"

const table: TableOf<TrainRow> = {
  columns: [
    {
      name: "model",
      rank: 0,
      left: true,
      least: 12,
      text: (row) => `${row.model} ${row.dtype}`,
    },
    { name: "batch", rank: 3, text: (row) => `${row.batch} × ${row.positions}` },
    { name: "tok/s", rank: 0, text: (row) => spreadText(row.spread) },
    { name: "% mul-add", rank: 1, text: (row) => percent(row.flopsFraction) },
    { name: "weights + state", rank: 4, text: (row) => bytesText(row.stateBytes) },
    { name: "between", rank: 5, text: (row) => bytesText(row.activationBytes) },
    { name: "peak", rank: 2, text: (row) => bytesText(row.peakMemoryBytes) },
  ],
}

const nameOf = ({ name }: (typeof trainCases)[number]): string => name

export const train = command({
  name: "train",
  description: "time whole training steps: forward, backward and AdamW",
  flags: {
    ...under(headings.model, {
      only: valued("<names>", `of ${trainCases.map(nameOf).join(", ")}`, (text) =>
        chosenOf(text, trainCases, nameOf),
      ),
      dtype: choice("dtype of the weights", ["f32", "bf16"], "f32"),
      checkpointActivations: toggle("run each block again in the backward pass"),
    }),
    ...under(headings.measurement, { repeat: repeat("steps measured of each", 5) }),
    ...machine,
    ...json,
  },
  tables: [table],
  run: (flags) =>
    tabulate("elm-bench-train/1", flags, table, (report) =>
      onBackend(flags, (backend) => benchTrain(backend, flags, report)),
    ),
})
