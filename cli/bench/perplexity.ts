// `elm bench perplexity`: what a text costs a model in each dtype, side by side.
import { benchPerplexity, type PerplexityRow, textFor } from "../../bench/measure/perplexity.ts"
import { bytesText } from "../../model/index.ts"
import { path, whole } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { required, under, valued } from "../line/flags.ts"
import { onBackend } from "../line/open.ts"
import { headings, json, machine } from "../line/options.ts"
import { tabulate } from "../terminal/output.ts"
import type { TableOf } from "../terminal/table.ts"

const table: TableOf<PerplexityRow> = {
  columns: [
    { name: "dtype", rank: 0, left: true, text: ({ dtype }) => dtype },
    { name: "weights", rank: 3, text: ({ weightBytes }) => bytesText(weightBytes) },
    { name: "nats per token", rank: 2, text: ({ crossEntropy }) => crossEntropy.toFixed(4) },
    { name: "perplexity", rank: 0, text: ({ perplexity }) => perplexity.toFixed(3) },
    {
      name: "over f32",
      rank: 1,
      text({ perplexity }, rows) {
        const exact = rows.find(({ dtype }) => dtype === "f32")
        return exact && `${(100 * (perplexity / exact.perplexity - 1)).toFixed(2)} %`
      },
    },
  ],
}

export const perplexity = command({
  name: "perplexity",
  description: "what a text costs a model in each dtype of its weights",
  flags: {
    ...under(headings.model, {
      weights: required(valued("<dir>", "a model folder with a tokenizer", path)),
    }),
    ...under(headings.text, {
      text: required(valued("<file>", "UTF-8 text, also .gz", path)),
      tokens: valued("<n>", "tokens of the text to read", whole(2), 20000),
    }),
    ...machine,
    ...json,
  },
  tables: [table],
  run: (flags) =>
    tabulate("elm-bench-perplexity/1", flags, table, async (report) => {
      const text = await textFor(flags.text, flags.tokens)
      return onBackend(flags, (backend) => benchPerplexity(backend, { ...flags, text }, report))
    }),
})
