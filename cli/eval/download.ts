// `elm eval download`: the data of tasks from the hub, into the cache that Python's huggingface_hub has too.
import { downloading } from "../../bench/measure/report.ts"
import { type Downloaded, downloadData } from "../../eval/data/download.ts"
import { optionsOf, suites } from "../../eval/suites.ts"
import { bytesText, hubSettings } from "../../model/index.ts"
import { path, texts, usageError } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { evaluationFlags } from "../line/evaluation.ts"
import { positional, under, valued } from "../line/flags.ts"
import { modelFlags } from "../line/model.ts"
import { headings, json } from "../line/options.ts"
import { measured } from "../terminal/output.ts"
import { type TableOf, tableText } from "../terminal/table.ts"

/** Names that are written out. */
const mostNames = 3

const namesText = (names: readonly string[]): string =>
  names.length > mostNames ? `${names.length} tasks` : names.join(", ")

const table: TableOf<Downloaded> = {
  columns: [
    { name: "data set", rank: 0, left: true, text: ({ repository }) => repository },
    { name: "revision", rank: 3, left: true, text: ({ revision }) => revision },
    { name: "of", rank: 1, left: true, least: 12, text: ({ tasks }) => namesText(tasks) },
    { name: "files", rank: 2, text: ({ files }) => files.length },
    { name: "size", rank: 1, text: ({ bytes }) => bytesText(bytes) },
  ],
}

export const download = command({
  name: "download",
  description: "download the data of tasks from the hub",
  arguments: [
    positional("[tasks...]", "names of tasks and groups, such as arc_easy and mmlu", texts),
  ],
  flags: {
    suite: evaluationFlags.suite,
    ...under(headings.output, {
      to: valued("<folder>", "in place of the hub's cache; --data is this folder then", path),
    }),
    hfAccessToken: modelFlags.hfAccessToken,
    ...json,
  },
  after: "Examples:\n  elm eval download --suite zero-shot\n  elm eval download mmlu --to my-data",
  tables: [table],
  async run({ suite, to, hfAccessToken, json }, { args: [named = []] }) {
    const own = suites.find(({ name }) => name === suite)
    const tasks = [...named, ...(own ? optionsOf(own).tasks : [])]
    if (tasks.length === 0) throw usageError("give names of tasks, or --suite")
    await measured(
      { json },
      (report) => {
        const how = { tasks, cache: to, ...downloading(report) }
        return downloadData({
          ...how,
          ...(hfAccessToken !== undefined && { token: hfAccessToken }),
        })
      },
      (rows) => ({
        text: `${tableText(table, rows)}\nIn ${to ?? hubSettings().cache}`,
        json: { schema: "elm-eval-download/1", folder: to ?? hubSettings().cache, rows },
      }),
    )
  },
})
