// `elm bench`: measures the machine's ceilings, then each model, prints the table and one JSON line.
import { type Command, CommanderError, InvalidArgumentError, Option } from "commander"
import { backendNames, type Feature, features } from "../backends/index.ts"
import { type Case, isDType } from "../engine/index.ts"
import {
  type CacheDType,
  cacheDTypes,
  configOf,
  modelNames,
  type WeightDType,
  weightDTypes,
} from "../model/index.ts"
import { CeilingMeter } from "./ceiling.ts"
import { stepsTable } from "./explain.ts"
import { checkWritable, writeWhole } from "./files.ts"
import { addGpu } from "./gpu_cli.ts"
import { machine } from "./machine.ts"
import { benchNormRows, normRowsTable } from "./norm_rows.ts"
import { benchNorms, type NormFlags, normTable } from "./norms.ts"
import { type BackendFlags, openFor } from "./open.ts"
import { benchOps } from "./ops.ts"
import { paperGeneratedTokens, paperPromptTokens } from "./paper.ts"
import { benchPerplexity, type PerplexityFlags, perplexityTable } from "./perplexity.ts"
import { type Report, reporter } from "./progress.ts"
import { type BenchResult, headline, table } from "./report.ts"
import { type BenchOptions, measure, type Row } from "./throughput.ts"
import { benchTrain, type TrainFlags, trainTable } from "./train.ts"

interface Flags extends BackendFlags {
  readonly model: readonly string[]
  readonly weights?: string
  readonly dtype?: WeightDType
  readonly cache: CacheDType
  readonly prompt: number
  readonly generate?: number
  readonly repeat: number
  readonly seed: number
  readonly paper?: boolean
  readonly explain?: boolean
  readonly json?: string
}

/** A whole number from `least` to `most`, or a usage error. */
export const whole =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= least && value <= most) return value
    const end = most < Number.MAX_SAFE_INTEGER ? ` to ${most}` : ""
    throw new InvalidArgumentError(`Expected a whole number from ${least}${end}.`)
  }

export const models = (text: string): string[] => {
  const names = text.split(",")
  for (const name of names) {
    try {
      configOf(name)
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message)
    }
  }
  return names
}

const featuresOf = (text: string): Feature[] =>
  text.split(",").map((name) => {
    const feature = features.find((known) => known === name)
    if (feature) return feature
    throw new InvalidArgumentError(`There are: ${features.join(", ")}.`)
  })

/** One more case of sizes, attributes and dtypes by name. */
const sizes = (text: string, before: readonly Case[] = []): Case[] => {
  const entries = text.split(",").map((part) => {
    const [name = "", value = ""] = part.split("=")
    const number = Number(value)
    if (/^\w+$/.test(name) && value !== "" && (isDType(value) || Number.isFinite(number))) {
      return [name, isDType(value) ? value : number] as const
    }
    throw new InvalidArgumentError(`Expected NAME=VALUE separated by commas, got ${part}.`)
  })
  return [...before, Object.fromEntries(entries)]
}

export const dtypeOption = (text: string) =>
  new Option("--dtype <name>", `dtype of the weights${text}`).choices([...weightDTypes])
export const cacheOption = () =>
  new Option("--cache <name>", "dtype of the key-value cache")
    .choices([...cacheDTypes])
    .default("f32")
export const backendOption = () =>
  new Option("--backend <name>", "where to run").choices([...backendNames]).default("wasm")
export const withoutOption = () =>
  new Option(
    "--without <features>",
    `features of the GPU to leave off: ${features.join(", ")}`,
  ).argParser(featuresOf)
export const threadsOption = () =>
  new Option("--threads <n>", "threads, default the cores available to the process").argParser(
    whole(1, 256),
  )

const others = ["norms", "train", "perplexity", "ops", "roofline", "drive"]

export function addBench(program: Command): void {
  const bench = program.command("bench").helpOption(false)
  bench.description(
    `measure throughput by the paper's protocol; also: ${others.map((name) => `bench ${name}`).join(", ")}`,
  )
  bench
    .command("throughput", { isDefault: true, hidden: true })
    .usage("[options]")
    .description("measure prompt and generation throughput as the OpenELM paper does (table 7)")
    .addHelpText("after", `\nAlso: ${others.map((name) => `elm bench ${name} --help`).join(", ")}`)
    .option("--model <names>", `sizes to measure, of ${modelNames.join(", ")}`, models, ["270M"])
    .option("--weights <dir>", "a model folder to measure instead of seeded random weights")
    .addOption(dtypeOption(", default f32 or what the folder holds"))
    .addOption(cacheOption())
    .addOption(backendOption())
    .addOption(withoutOption())
    .option("--prompt <n>", "prompt tokens", whole(1), paperPromptTokens)
    .option("--generate <n>", "tokens to generate, default 64", whole(2))
    .option("--repeat <n>", "measurements, of which the median is reported", whole(1), 5)
    .option("--seed <n>", "seed of the random weights", whole(0, 0xffffffff), 0)
    .addOption(threadsOption())
    .option("--paper", "the paper's protocol in full: 1024 generated tokens")
    .option("--explain", "also list the steps of a token: work, time, part of the roofline")
    .option("--json <file>", "also write the result there")
    .option("--no-revectorise", "leave V8's 256-bit operations off")
    .action((flags: Flags) => run(flags))
  bench
    .command("norms")
    .description("compare ways to run the norms (the paper's table 8)")
    .option("--model <names>", "sizes to measure", models, ["270M", "1.1B"])
    .addOption(dtypeOption("").default("bf16"))
    .addOption(backendOption())
    .addOption(withoutOption())
    .addOption(threadsOption())
    .option("--prompt <n>", "prompt tokens", whole(1), paperPromptTokens)
    .option("--generate <n>", "tokens to generate", whole(2), 32)
    .option("--repeat <n>", "measurements of each, in turns", whole(1), 5)
    .option("--json <file>", "also write the result there")
    .option("--no-revectorise", "leave V8's 256-bit operations off")
    .option("--alone", "RMSNorm by itself: 1 and 36 rows of 2048, naive and fused")
    .action((flags: NormFlags & JsonFlag & Alone, command: Command) => runNorms(flags, command))
  bench
    .command("ops")
    .description("time every op of the table, case by case")
    .addOption(backendOption())
    .addOption(withoutOption())
    .addOption(threadsOption())
    .option("--no-revectorise", "leave V8's 256-bit operations off")
    .option("--filter <names>", "only these ops, separated by commas")
    .option("--sizes <case>", "sizes for them, as N=256,D=1280,eps=1e-6; repeatable", sizes)
    .action(benchOps)
  addTrain(bench)
  addPerplexity(bench)
  addGpu(bench)
  // `bench` itself leaves --help to its default command, and they would all follow it.
  for (const command of bench.commands) command.helpOption("-h, --help", "show this")
}

function addTrain(bench: Command): void {
  bench
    .command("train")
    .description("time whole training steps: forward, backward and AdamW")
    .addOption(
      new Option("--dtype <name>", "of the weights").choices(["f32", "bf16"]).default("f32"),
    )
    .addOption(backendOption())
    .addOption(withoutOption())
    .addOption(threadsOption())
    .option("--only <names>", "of small-512, small-32000, 270M")
    .option("--repeat <n>", "steps measured of each", whole(1), 5)
    .option("--checkpoint-activations", "run each block again in the backward pass")
    .option("--json <file>", "also write the result there")
    .option("--no-revectorise", "leave V8's 256-bit operations off")
    .action((flags: TrainFlags & JsonFlag) => runTrain(flags))
}

async function run(flags: Flags): Promise<void> {
  const { dtype, cache, prompt, repeat, seed, weights } = flags
  const generate = flags.generate ?? (flags.paper ? paperGeneratedTokens : 64)
  const report = reporter()
  if (flags.json !== undefined) checkWritable(flags.json)
  report("measuring the machine")
  await using backend = await openFor(flags, report)
  const { threads = 1, build = "float64, plain loops" } = backend
  const meter = await CeilingMeter.open(backend)
  const { explain = false } = flags
  const options: BenchOptions = { weights, dtype, cache, prompt, generate, repeat, seed, explain }
  const rows: Row[] = []
  for (const name of weights === undefined ? flags.model : [weights]) {
    rows.push(
      await measure(name, backend, options, {
        first: rows.length === 0,
        meter,
        threads,
        report,
      }),
    )
  }
  meter.close()
  report.done()
  const result: BenchResult = {
    schema: "elm-bench/1",
    machine: { ...machine(), build, threads, ...meter.ceilings },
    rows,
  }
  const steps = rows.flatMap((row) => (row.steps ? [stepsTable(row, row.steps)] : []))
  await finish([headline(result), table(result), ...steps].join("\n"), result, flags)
}

export interface JsonFlag {
  readonly json?: string
}

/** Prints the text and the line of JSON, then writes the line to the file, if there is one. */
export async function finish(text: string, result: object, { json }: JsonFlag): Promise<void> {
  const line = JSON.stringify(result)
  console.log(`${text}\n${line}`)
  if (json !== undefined) await writeWhole(json, `${line}\n`)
}

function addPerplexity(bench: Command): void {
  bench
    .command("perplexity")
    .description("what a text costs a model in each dtype of its weights")
    .requiredOption("--weights <dir>", "a model folder with a tokenizer")
    .requiredOption("--text <file>", "UTF-8 text, also .gz")
    .option("--tokens <n>", "tokens of the text to read", whole(2), 20000)
    .addOption(backendOption())
    .addOption(withoutOption())
    .addOption(threadsOption())
    .option("--json <file>", "also write the result there")
    .option("--no-revectorise", "leave V8's 256-bit operations off")
    .action((flags: PerplexityFlags & JsonFlag) => runPerplexity(flags))
}

const runPerplexity = (flags: PerplexityFlags & JsonFlag): Promise<void> =>
  tabulate("elm-bench-perplexity/1", flags, benchPerplexity, perplexityTable)

const runTrain = (flags: TrainFlags & JsonFlag): Promise<void> =>
  tabulate("elm-bench-train/1", flags, benchTrain, trainTable)

/** Measures, with progress, and prints what was found. */
export async function tabulate<F extends JsonFlag, R>(
  schema: string,
  flags: F,
  measureRows: (flags: F, report: Report) => Promise<readonly R[]>,
  tableOf: (rows: readonly R[]) => string,
): Promise<void> {
  const report = reporter()
  if (flags.json !== undefined) checkWritable(flags.json)
  const rows = await measureRows(flags, report)
  report.done()
  await finish(tableOf(rows), { schema, machine: machine(), rows }, flags)
}

interface Alone {
  readonly alone?: true
}

async function runNorms(flags: NormFlags & JsonFlag & Alone, command: Command): Promise<void> {
  const given = ["model", "dtype", "prompt", "generate"].filter(
    (name) => command.getOptionValueSource(name) === "cli",
  )
  if (flags.alone && given.length > 0) {
    throw new CommanderError(2, "elm.usage", `--alone has no model, got --${given.join(", --")}`)
  }
  if (flags.alone) {
    return tabulate("elm-bench-norm-rows/1", flags, benchNormRows, normRowsTable)
  }
  return tabulate("elm-bench-norms/1", flags, benchNorms, normTable)
}
