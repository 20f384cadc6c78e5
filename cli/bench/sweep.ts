// `elm bench sweep`: layer-wise scaling at a fixed budget of parameters, as tables, a chart and a page.
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { InvalidArgumentError } from "commander"
import { machine as thisMachine } from "../../bench/measure/machine.ts"
import {
  benchSweep,
  type Range,
  type SweepOptions,
  type SweepRow,
  sweepConfigs,
} from "../../bench/measure/sweep.ts"
import { layersChart, sweepHtml } from "../../bench/report/sweep.ts"
import {
  configOf,
  decimal,
  loadTokenizer,
  modelNames,
  parameterCount,
  threeDigits,
} from "../../model/index.ts"
import { chartSvg } from "../../train/run/chart.ts"
import { asUsage, path, whole } from "../line/arguments.ts"
import { command } from "../line/command.ts"
import { choice, under, type ValuesOf, valued } from "../line/flags.ts"
import { checkFits, generated, prompt } from "../line/lengths.ts"
import { openFor } from "../line/open.ts"
import { cache, dtype, headings, json, machine, repeat } from "../line/options.ts"
import { percent, spreadText } from "../terminal/amounts.ts"
import { chartText } from "../terminal/chart.ts"
import { checkFolder, writeWhole } from "../terminal/files.ts"
import { measured } from "../terminal/output.ts"
import { screenWidth, type TableOf, tableText } from "../terminal/table.ts"

const table: TableOf<SweepRow> = {
  columns: [
    { name: "scaling", rank: 0, left: true, least: 12, text: ({ model }) => model },
    { name: "width", rank: 5, text: ({ modelDim }) => modelDim },
    { name: "parameters", rank: 3, text: ({ parameters }) => `${threeDigits(parameters / 1e6)} M` },
    {
      name: "first–last layer",
      rank: 6,
      text: ({ layerParameters: all }) =>
        [all[0], all.at(-1)].map((count = 0) => `${threeDigits(count / 1e6)} M`).join("–"),
    },
    { name: "prompt tok/s", rank: 2, text: (row) => spreadText(row.promptSpread) },
    { name: "generation tok/s", rank: 0, text: (row) => spreadText(row.generationSpread) },
    { name: "% bandwidth", rank: 4, text: (row) => percent(row.bandwidthFraction) },
    { name: "loss", rank: 1, text: ({ loss }) => loss?.toFixed(3) },
  ],
}

/** "0.5:1,0.75:0.75" as pairs of the first layer and the last. */
function ranges(text: string): Range[] {
  return text.split(",").map((pair) => {
    const [first = "", last = first, ...more] = pair.split(":")
    const range = [decimal(first), decimal(last)] as const
    if (more.length === 0 && range.every((x) => Number.isFinite(x) && x > 0)) return range
    throw new InvalidArgumentError(
      "Expected pairs FIRST:LAST of numbers above 0, such as 0.5:1,0.75.",
    )
  })
}

const units: Readonly<Record<string, number>> = { K: 1e3, M: 1e6, B: 1e9 }

/** "270M": a whole number, or a number of thousands, millions or billions. */
function amount(text: string): number {
  const unit = units[text.at(-1)?.toUpperCase() ?? ""]
  const value = Math.round(decimal(unit ? text.slice(0, -1) : text) * (unit ?? 1))
  if (value >= 1 && Number.isSafeInteger(value)) return value
  throw new InvalidArgumentError("Expected a number above 0, such as 500K, 270M or 1.1B.")
}

/** A file of the text that comes with the package. */
const ofPackage = (name: string): string =>
  fileURLToPath(new URL(`../../../train/text/${name}`, import.meta.url))

const flags = {
  ...under(headings.model, {
    model: choice("size whose layers, heads and vocabulary are kept", modelNames, "270M"),
    parameters: valued("<n>", "budget, such as 5M, default what the size has", amount),
    alpha: valued<readonly Range[]>(
      "<pairs>",
      "query width over model width, first and last layer",
      ranges,
      ranges("0.75,0.5:1"),
      "0.75,0.5:1",
    ),
    beta: valued<readonly Range[]>(
      "<pairs>",
      "feed-forward width over model width, first and last layer",
      ranges,
      ranges("2.25,0.5:4,4:0.5"),
      "2.25,0.5:4,4:0.5",
    ),
    layers: valued("<n>", "layers, default those of the size", whole(1, 1024)),
    headDim: valued("<n>", "width of a head, default that of the size", whole(2, 1024)),
    ffnDivisor: valued(
      "<n>",
      "feed-forward widths are multiples of this, default as the size",
      whole(1),
    ),
    vocabSize: valued("<n>", "rows of the embedding, default those of the size", whole(1, 2 ** 24)),
    dtype,
    cache,
  }),
  ...under(headings.measurement, {
    prompt,
    generate: valued("<n>", "tokens to generate", generated, 32),
    repeat: repeat("measurements of each, in turns", 5),
    train: valued("<tokens>", "also train each on as many tokens of the package's text", amount),
  }),
  ...machine,
  ...under(headings.output, {
    out: valued("<folder>", "where report.html, results.json and layers.svg go", path, "elm-sweep"),
  }),
  ...json,
}

type Values = ValuesOf<typeof flags>

export const sweep = command({
  name: "sweep",
  description:
    "layer-wise scaling at a fixed budget of parameters: throughput, and loss with --train",
  flags,
  after:
    "Examples:\n" +
    "  elm bench sweep --parameters 270M\n" +
    "  elm bench sweep --parameters 3M --layers 8 --head-dim 32 --train 500K",
  tables: [table],
  async run(flags) {
    const { out } = flags
    const options = await optionsOf(flags)
    for (const config of await asUsage(() => sweepConfigs(options))) checkFits(options, config)
    checkFolder(out, "report.html")
    await measured(
      flags,
      async (report) => {
        await using backend = await openFor(flags, report)
        const rows = await benchSweep(backend, options, report)
        const { threads = 1, build } = backend
        const found = { machine: { ...thisMachine(), build, threads }, rows }
        await writePage(out, { ...found, protocol: protocolOf(options, build, threads) })
        return found
      },
      ({ machine, rows }) => ({
        text: [
          tableText(table, rows),
          chartText(layersChart(rows), Math.min(screenWidth(), 100)),
          `kept in ${out}: report.html, results.json, layers.svg`,
        ].join("\n"),
        json: { schema: "elm-bench-sweep/1", machine, parameters: options.parameters, rows },
      }),
    )
  },
})

async function optionsOf(flags: Values): Promise<SweepOptions> {
  const size = configOf(flags.model)
  const tokenizer = ofPackage("tokenizer.model")
  const training = flags.train && {
    ...{ tokens: flags.train, tokenizer, source: ofPackage("austen.txt.gz") },
    validation: ofPackage("austen-validation.txt.gz"),
  }
  const vocabulary = training ? (await loadTokenizer(tokenizer)).vocabSize : size.vocabSize
  const base = {
    ...size,
    layers: flags.layers ?? size.layers,
    headDim: flags.headDim ?? size.headDim,
    ffnDivisor: flags.ffnDivisor ?? size.ffnDivisor,
    vocabSize: flags.vocabSize ?? vocabulary,
  }
  const parameters = flags.parameters ?? parameterCount(size)
  return { ...flags, base, parameters, training: training || undefined }
}

const protocolOf = (options: SweepOptions, build: string, threads: number): string => {
  const { parameters, dtype, prompt, generate, repeat, training } = options
  return (
    `${threeDigits(parameters / 1e6)} M parameters in ${dtype}; ${build}, ${threads} threads; ` +
    `${prompt} prompt tokens, ${generate} generated, medians of ${repeat}` +
    (training ? `; trained on ${training.tokens} tokens of the package's text` : "")
  )
}

async function writePage(out: string, found: Parameters<typeof sweepHtml>[0]): Promise<void> {
  const write = (name: string, text: string) => writeWhole(join(out, name), text)
  const result = { schema: "elm-bench-sweep/1", ...found }
  await write("results.json", `${JSON.stringify(result, null, 2)}\n`)
  await write("layers.svg", chartSvg(layersChart(found.rows)))
  await write("report.html", sweepHtml(found))
}
