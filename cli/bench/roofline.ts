// `elm bench roofline`: what three GPUs could do at most, where there is none.
import {
  dispatchMicroseconds,
  gpus,
  type Prediction,
  predict,
} from "../../bench/measure/roofline.ts"
import { paperGeneratedTokens, paperPromptTokens, published } from "../../bench/tables/paper.ts"
import { bytesText, modelNames, threeDigits } from "../../model/index.ts"
import { whole } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { under, valued } from "../line/flags.ts"
import { cache, dtype, headings, json, sizes } from "../line/options.ts"
import { percent } from "../terminal/amounts.ts"
import { measured } from "../terminal/output.ts"
import { type TableOf, tableText } from "../terminal/table.ts"

const table: TableOf<Prediction> = {
  title: "PREDICTION: at most, by bytes, multiply-adds and dispatches. Nothing was run",
  columns: [
    {
      name: "model",
      rank: 0,
      left: true,
      least: 12,
      text: (row) => `${row.model} ${row.dtype}`,
    },
    { name: "GPU", rank: 0, left: true, least: 10, text: (row) => row.gpu },
    { name: "prompt tok/s", rank: 1, text: (row) => `≤ ${threeDigits(row.promptTokensPerSecond)}` },
    {
      name: "generation tok/s",
      rank: 0,
      text: (row) => `≤ ${threeDigits(row.generationTokensPerSecond)}`,
    },
    { name: "dispatches", rank: 4, text: (row) => row.dispatchesPerToken },
    { name: "read/token", rank: 3, text: (row) => bytesText(row.bytesPerToken) },
    {
      name: "of which launches",
      rank: 5,
      text: (row) =>
        percent((row.dispatchesPerToken * dispatchMicroseconds) / row.tokenMicroseconds),
    },
    {
      name: "paper, generation",
      rank: 2,
      text(row) {
        const of = gpus.find(({ name }) => name === row.gpu)?.paper
        return of && threeDigits(published(row.model)?.[of].generation ?? Number.NaN)
      },
    },
  ],
}

export const roofline = command({
  name: "roofline",
  description: "predict what three GPUs could do at most, from the recorded plans",
  flags: {
    ...under(headings.model, { model: sizes("sizes to predict", modelNames), dtype, cache }),
    ...under(headings.measurement, {
      context: valued(
        "<n>",
        "positions that the key-value cache holds",
        whole(paperPromptTokens + 1, 2048),
        paperPromptTokens + paperGeneratedTokens,
      ),
    }),
    ...json,
  },
  tables: [table],
  run: (flags) =>
    measured(
      flags,
      () => predict(flags),
      (rows) => ({
        text: tableText(table, rows),
        json: { schema: "elm-bench-roofline/1", gpus, dispatchMicroseconds, rows },
      }),
    ),
})
