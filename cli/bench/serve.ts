// `elm bench serve`: what clients of a served model get, one and many at a time.
import { benchServing, type ServingRow } from "../../bench/measure/serving.ts"
import { bytesText, publishedConfig, threeDigits } from "../../model/index.ts"
import { models, part, whole } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { under, valued } from "../line/flags.ts"
import { checkFits, generated, prompt } from "../line/lengths.ts"
import { onBackend } from "../line/open.ts"
import { cache, dtype, headings, json, machine } from "../line/options.ts"
import { tabulate } from "../terminal/output.ts"
import type { TableOf } from "../terminal/table.ts"

const waits = ({ p50, p95 }: ServingRow["firstMs"]): string =>
  `${threeDigits(p50)} / ${threeDigits(p95)}`

const counts = (text: string): number[] => text.split(",").map(whole(1, 1024))

const table: TableOf<ServingRow> = {
  columns: [
    { name: "clients", rank: 0, text: ({ clients }) => String(clients) },
    { name: "tok/s", rank: 0, text: ({ tokensPerSecond }) => threeDigits(tokensPerSecond) },
    { name: "ratio", rank: 1, text: ({ ratio }) => `${ratio.toFixed(2)} ×` },
    { name: "first token ms, p50 / p95", rank: 2, text: ({ firstMs }) => waits(firstMs) },
    { name: "between ms, p50 / p95", rank: 2, text: ({ betweenMs }) => waits(betweenMs) },
    { name: "whole", rank: 4, text: ({ whole }) => String(whole) },
    { name: "left", rank: 4, text: ({ left }) => String(left) },
    {
      name: "memory",
      rank: 3,
      text: ({ rssBytes }) => rssBytes.map(bytesText).join(" → "),
    },
  ],
}

export const serve = command({
  name: "serve",
  description: "time clients that stream from a served model, one and many at a time",
  flags: {
    ...under(headings.model, {
      model: valued("<name>", "a published size", (text) => models(text)[0] as string, "270M"),
      dtype,
      cache,
    }),
    ...under(headings.measurement, {
      clients: valued("<n,…>", "clients at a time, level after level", counts, [1, 8], "1,8"),
      seconds: valued("<n>", "of each level", whole(1), 20),
      leaving: valued("<part>", "of the streams that are left amid an answer", part, 0),
      prompt,
      generate: valued("<n>", "tokens of an answer", generated, 64),
      places: valued("<n>", "requests side by side in one batch", whole(1, 256), 8),
    }),
    ...machine,
    ...json,
  },
  tables: [table],
  run: (flags) => {
    checkFits({ ...flags, explain: false }, publishedConfig(flags.model))
    return tabulate("elm-bench-serve/1", flags, table, (report) =>
      onBackend(flags, (backend) => benchServing(backend, flags, report)),
    )
  },
})
