// `elm eval compare`: whether one of two models is better, by the documents that both were asked about.
import { compareEvaluations, type Difference } from "../../eval/compare.ts"
import { path, seed, whole } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { positional, under, valued } from "../line/flags.ts"
import { headings, json } from "../line/options.ts"
import { measured } from "../terminal/output.ts"
import { type TableOf, tableText } from "../terminal/table.ts"

const signed = (x: number): string => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(4)}`

const table: TableOf<Difference> = {
  columns: [
    { name: "task", rank: 0, left: true, least: 12, text: ({ task }) => task },
    { name: "metric", rank: 1, left: true, text: ({ metric }) => metric.replace(/,none$/, "") },
    { name: "documents", rank: 5, text: ({ documents }) => documents },
    { name: "first", rank: 3, text: ({ first }) => first.toFixed(4) },
    { name: "second", rank: 3, text: ({ second }) => second.toFixed(4) },
    { name: "difference", rank: 0, text: ({ difference }) => signed(difference) },
    {
      name: "± stderr",
      rank: 2,
      text: ({ error }) => (typeof error === "number" ? error.toFixed(4) : error),
    },
    { name: "95 %", rank: 2, text: ({ low, high }) => `${signed(low)} to ${signed(high)}` },
    { name: "only first", rank: 4, text: ({ onlyFirst }) => onlyFirst },
    { name: "only second", rank: 4, text: ({ onlySecond }) => onlySecond },
    { name: "p (McNemar)", rank: 1, text: ({ mcnemar }) => mcnemar?.toPrecision(2) },
  ],
}

export const compare = command({
  name: "compare",
  description: "compare two evaluations, document by document",
  arguments: [
    positional("<first>", "the folder of --out, or its results.json", path),
    positional("<second>", "the same of another model", path),
  ],
  flags: {
    ...under(headings.measurement, {
      iterations: valued("<n>", "draws of the bootstrap", whole(1, 1e6), 2000),
      seed: valued("<n>", "seed of the bootstrap", seed, 0),
    }),
    ...json,
  },
  after: "Example:\n  elm eval compare my-eval/results.json other-eval/results.json",
  tables: [table],
  run: (flags, { args: [first, second] }) =>
    measured(
      flags,
      () => compareEvaluations(first, second, flags),
      (rows) => ({
        text: tableText(table, rows),
        json: { schema: "elm-eval-compare/1", seed: flags.seed, rows },
      }),
    ),
})
