// `elm bench`: measures the machine's ceilings, then each model, and prints the paper's table.
import { misfit } from "../../bench/measure/fits.ts"
import { machine as thisMachine } from "../../bench/measure/machine.ts"
import { downloading } from "../../bench/measure/report.ts"
import { benchThroughput } from "../../bench/measure/throughput.ts"
import { paperGeneratedTokens } from "../../bench/tables/paper.ts"
import {
  type DecoderConfig,
  publishedConfig,
  publishedNames,
  readConfig,
  type WeightDType,
} from "../../model/index.ts"
import { against, againstTable, measureAgainst } from "../line/against.ts"
import { path, seed, usageError } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { toggle, under, valued } from "../line/flags.ts"
import { checkFits, generated, prompt } from "../line/lengths.ts"
import { openFor } from "../line/open.ts"
import { cache, dtypes, headings, json, machine, repeat, sizes } from "../line/options.ts"
import { measureTables, tablesFolder, writeReport } from "../line/paper_tables.ts"
import { checkFolder } from "../terminal/files.ts"
import { measured } from "../terminal/output.ts"
import { reporter } from "../terminal/progress.ts"
import { stepsTable, stepsText } from "../terminal/steps.ts"
import { tableText } from "../terminal/table.ts"
import { headline, throughputLines, throughputTable } from "../terminal/throughput.ts"

const flags = {
  ...under(headings.model, {
    model: sizes(`sizes to measure, of ${publishedNames.join(", ")}`, ["270M"]),
    weights: valued(
      "<path>",
      "a model folder, a .pt or .gguf file, instead of seeded random weights",
      path,
    ),
    dtype: dtypes,
    cache,
    seed: valued("<n>", "seed of the random weights", seed, 0),
  }),
  ...under(headings.measurement, {
    prompt,
    generate: valued("<n>", "tokens to generate, default 64", generated),
    repeat: repeat("measurements, of which the median is reported", 5),
    against,
    paper: toggle(
      "the paper's protocol in full, 1024 generated tokens; without --model or --weights all of its tables",
    ),
  }),
  ...machine,
  ...under(headings.output, {
    report: valued(
      "<folder>",
      "also write report.html, a page to share, results.json, results.csv and tables.md there",
      path,
    ),
    explain: toggle("also list the steps of a token: work, time, part of the roofline"),
  }),
  ...json,
}

export const throughput = command({
  name: "throughput",
  description: "measure prompt and generation throughput as the OpenELM paper does (table 7)",
  flags,
  after:
    "Examples:\n" +
    "  elm bench --model 270M,450M --dtype bf16 --paper\n" +
    "  elm bench --dtype f32,bf16,q8,q4\n" +
    "  elm bench --against onnxruntime-node,node-llama-cpp --dtype f32,q8\n" +
    "  elm bench --model 270M,pythia-1.4b --dtype bf16,q4 --report my-report\n" +
    "  elm bench --weights my-model --prompt 512 --explain",
  tables: [throughputTable, stepsTable, againstTable],
  async run(flags, { given }) {
    const { cache, prompt, repeat, seed, weights, explain = false } = flags
    const idle = weights === undefined ? "" : given("model", "seed")
    if (idle) throw usageError(`${idle} has no effect: --weights names a model. Leave it out`)
    if (flags.paper && flags.generate !== undefined) {
      throw usageError(`--paper generates ${paperGeneratedTokens} tokens. Leave --generate out`)
    }
    if (flags.paper && !given("model", "weights")) {
      const idle = given("cache", "seed", "explain")
      if (idle)
        throw usageError(`${idle} is of one model: --paper alone measures the tables. Name one`)
      const [dtype = "bf16", ...more] = flags.dtype ?? []
      if (more.length > 0) {
        throw usageError(
          `--paper alone has one dtype of its 16-bit rows, got ${flags.dtype}. Give one`,
        )
      }
      const folder = flags.report ?? tablesFolder
      const lengths = { generate: paperGeneratedTokens, folder }
      return measureTables("all", { ...flags, ...lengths, dtype, charts: true })
    }
    const generate = flags.generate ?? (flags.paper ? paperGeneratedTokens : 64)
    const names = weights === undefined ? flags.model : [weights]
    const lengths = { prompt, generate, explain }
    const reading = reporter()
    const configIn = (name: string) => readConfig(name, downloading(reading)).finally(reading.done)
    const dtypes = flags.dtype ?? [undefined]
    for (const name of names) {
      const config = weights === undefined ? publishedConfig(name) : await configIn(name)
      checkFits(lengths, config)
      checkTogether(config, dtypes)
    }
    if (flags.against) {
      const idle = given("explain", "cache", "report")
      if (idle) throw usageError(`${idle} has no effect with --against. Leave it out`)
      if (names.length > 1) throw usageError(`--against takes one model, got ${names}`)
      const config =
        weights === undefined ? publishedConfig(names[0] as string) : await configIn(weights)
      const dtypes = flags.dtype ?? ["f32"]
      return measureAgainst(flags.against, { ...flags, ...lengths, config, dtypes })
    }
    if (flags.report !== undefined) checkFolder(flags.report, "report.html")
    const options = { ...lengths, weights, cache, repeat, seed }
    const groups = names.map((model) =>
      (flags.dtype ?? [undefined]).map((dtype) => ({ model, dtype })),
    )
    await measured(
      flags,
      async (report) => {
        report("measuring the machine")
        await using backend = await openFor(flags, report)
        const { threads = 1, build } = backend
        const { ceilings, rows } = await benchThroughput(backend, groups, options, report)
        const machine = { ...thisMachine(), build, threads, ...ceilings }
        const result = { schema: "elm-bench/1", machine, rows }
        if (flags.report !== undefined) await writeReport(flags.report, result)
        return result
      },
      (result) => {
        const { machine, rows } = result
        const table = tableText(throughputTable, throughputLines(rows))
        const steps = rows.flatMap((row) => (row.steps ? [stepsText(row, row.steps)] : []))
        const written = flags.report === undefined ? [] : [`written: ${flags.report}/report.html`]
        const text = [headline(machine), table, ...steps, ...written].join("\n")
        return { text, json: result }
      },
    )
  },
})

/** Throws where what is measured in turns does not fit in memory together; one model alone may try. */
function checkTogether(config: DecoderConfig, dtypes: readonly (WeightDType | undefined)[]): void {
  if (dtypes.length === 1) return
  const reason = misfit(dtypes.map((dtype = "f32") => ({ config, dtype })))
  if (reason)
    throw usageError(`${config.name} in turns as ${dtypes}: ${reason}. Give fewer --dtype`)
}
