// `elm bench`: measures the machine's ceilings, then each model, prints the table, or a line of JSON.
// The command line of the other measurements is here too; what they do is a file of each.
import { type Command, Option } from "commander"
import { configOf, modelNames } from "../model/index.ts"
import { chosenOf, models, path, suggestion, usageError, whole } from "./arguments.ts"
import { CeilingMeter } from "./ceiling.ts"
import { stepsTable } from "./explain.ts"
import { addGpu } from "./gpu_cli.ts"
import { machine } from "./machine.ts"
import { benchNormRows, normRowsTable } from "./norm_rows.ts"
import { benchNorms, type NormFlags, normTable } from "./norms.ts"
import { type BackendFlags, openFor } from "./open.ts"
import { benchOps, type OpsFlags, opsNamed, opsTable } from "./ops.ts"
import {
  cacheOption,
  dtypeOption,
  headings,
  jsonOption,
  machineOptions,
  repeatOption,
  withOptions,
} from "./options.ts"
import { checkJson, finish, type JsonFlag, tabulate } from "./output.ts"
import { paperGeneratedTokens, paperPromptTokens } from "./paper.ts"
import { benchPerplexity, type PerplexityFlags, perplexityTable } from "./perplexity.ts"
import { reporter } from "./progress.ts"
import { type BenchResult, headline, table } from "./report.ts"
import { sizes } from "./sizes.ts"
import { benchStart, type StartFlags, startTable } from "./start.ts"
import { type BenchOptions, checkFits, leastGenerated, measure, type Row } from "./throughput.ts"
import { benchTrain, type TrainFlags, trainCases, trainTable } from "./train.ts"

interface Flags extends BackendFlags, JsonFlag, Omit<BenchOptions, "generate" | "explain"> {
  readonly model: readonly string[]
  readonly generate?: number
  readonly paper?: boolean
  readonly explain?: boolean
}

const { model, measurement, output } = headings

const option = (
  heading: string,
  flags: string,
  text: string,
  parse?: (text: string) => unknown,
) => {
  const made = new Option(flags, text).helpGroup(heading)
  return parse ? made.argParser(parse) : made
}

export function addBench(program: Command): void {
  const bench = program.command("bench").helpOption(false)
  addThroughput(bench)
  addNorms(bench)
  addTrain(bench)
  addPerplexity(bench)
  addOps(bench)
  addStart(bench)
  addGpu(bench)
  const others = bench.commands.slice(1).map((command) => command.name())
  bench.description(
    `measure throughput by the paper's protocol; also: ${others.map((name) => `bench ${name}`).join(", ")}`,
  )
  bench.commands[0]?.addHelpText(
    "after",
    `\nAlso: ${others.map((name) => `elm bench ${name} --help`).join(", ")}`,
  )
  // `bench` itself leaves --help to its default command, and they would all follow it.
  for (const command of bench.commands) command.helpOption("-h, --help", "show this")
  // What is no command would be an argument of the default one, which takes none.
  bench.hook("preSubcommand", ({ args: [word = "-"] }) => {
    if (word.startsWith("-") || bench.commands.some((command) => command.name() === word)) return
    const also = suggestion(word, others) || `. There are: ${others.join(", ")}`
    throw usageError(`unknown command 'elm bench ${word}'${also}`)
  })
}

function addThroughput(bench: Command): void {
  const command = bench
    .command("throughput", { isDefault: true, hidden: true })
    .configureHelp({ commandUsage: () => "elm bench [options] | elm bench <command> [options]" })
    .description("measure prompt and generation throughput as the OpenELM paper does (table 7)")
  withOptions(command, [
    option(
      model,
      "--model <names>",
      `sizes to measure, of ${modelNames.join(", ")}`,
      models,
    ).default(["270M"], "270M"),
    option(model, "--weights <dir>", "a model folder instead of seeded random weights", path),
    dtypeOption(", default f32 or what the folder holds"),
    cacheOption(),
    option(model, "--seed <n>", "seed of the random weights", whole(0, 0xffffffff)).default(0),
    option(measurement, "--prompt <n>", "prompt tokens", whole(1)).default(paperPromptTokens),
    option(measurement, "--generate <n>", "tokens to generate, default 64", whole(leastGenerated)),
    repeatOption("measurements, of which the median is reported", 5),
    option(measurement, "--paper", "the paper's protocol in full: 1024 generated tokens"),
    ...machineOptions(),
    option(output, "--explain", "also list the steps of a token: work, time, part of the roofline"),
    jsonOption(),
  ])
  command
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  elm bench --model 270M,450M --dtype bf16 --paper\n" +
        "  elm bench --weights my-model --prompt 512 --explain",
    )
    .action((flags: Flags) => run(flags, command))
}

function addNorms(bench: Command): void {
  const command = bench
    .command("norms")
    .description("compare ways to run the norms (the paper's table 8)")
  withOptions(command, [
    option(model, "--model <names>", "sizes to measure", models).default(
      ["270M", "1.1B"],
      "270M,1.1B",
    ),
    dtypeOption("").default("bf16"),
    option(measurement, "--prompt <n>", "prompt tokens", whole(1)).default(paperPromptTokens),
    option(measurement, "--generate <n>", "tokens to generate", whole(leastGenerated)).default(32),
    repeatOption("measurements of each, in turns", 5),
    option(measurement, "--alone", "RMSNorm by itself: 1 and 36 rows of 2048, naive and fused"),
    ...machineOptions(),
    jsonOption(),
  ]).action((flags: NormFlags & JsonFlag & Alone) => runNorms(flags, command))
}

function addOps(bench: Command): void {
  const command = bench.command("ops").description("time every op of the table, case by case")
  withOptions(command, [
    option(measurement, "--filter <names>", "only these ops, separated by commas", opsNamed),
    option(
      measurement,
      "--sizes <case>",
      "sizes for them, as N=256,D=1280,eps=1e-6; repeatable",
    ).argParser(sizes),
    ...machineOptions(),
    jsonOption(),
  ]).action((flags: OpsFlags & JsonFlag) => tabulate("elm-bench-ops/1", flags, benchOps, opsTable))
}

function addTrain(bench: Command): void {
  const names = trainCases.map(({ name }) => name)
  const command = bench
    .command("train")
    .description("time whole training steps: forward, backward and AdamW")
  withOptions(command, [
    option(model, "--only <names>", `of ${names.join(", ")}`, (text) =>
      chosenOf(text, trainCases, ({ name }) => name),
    ),
    dtypeOption("").choices(["f32", "bf16"]).default("f32"),
    option(model, "--checkpoint-activations", "run each block again in the backward pass"),
    repeatOption("steps measured of each", 5),
    ...machineOptions(),
    jsonOption(),
  ]).action((flags: TrainFlags & JsonFlag) =>
    tabulate("elm-bench-train/1", flags, benchTrain, trainTable),
  )
}

function addPerplexity(bench: Command): void {
  const command = bench
    .command("perplexity")
    .description("what a text costs a model in each dtype of its weights")
  withOptions(command, [
    option(model, "--weights <dir>", "a model folder with a tokenizer", path).makeOptionMandatory(),
    option(headings.text, "--text <file>", "UTF-8 text, also .gz", path).makeOptionMandatory(),
    option(headings.text, "--tokens <n>", "tokens of the text to read", whole(2)).default(20000),
    ...machineOptions(),
    jsonOption(),
  ]).action((flags: PerplexityFlags & JsonFlag) =>
    tabulate("elm-bench-perplexity/1", flags, benchPerplexity, perplexityTable),
  )
}

function addStart(bench: Command): void {
  const command = bench
    .command("start")
    .description("time what a program waits for before its first token, beside `node -e 0`")
  withOptions(command, [repeatOption("processes of each, in turns", 9), jsonOption()]).action(
    (flags: StartFlags & JsonFlag) => tabulate("elm-bench-start/1", flags, benchStart, startTable),
  )
}

/** Names of the options that were given, of those that would change nothing. */
const givenOf = (command: Command, names: readonly string[]): string =>
  names
    .filter((name) => command.getOptionValueSource(name) === "cli")
    .map((name) => `--${name}`)
    .join(" and ")

async function run(flags: Flags, command: Command): Promise<void> {
  const { dtype, cache, prompt, repeat, seed, weights, explain = false } = flags
  const idle = weights === undefined ? "" : givenOf(command, ["model", "seed"])
  if (idle) throw usageError(`${idle} has no effect: --weights names a model. Leave it out`)
  if (flags.paper && flags.generate !== undefined) {
    throw usageError(`--paper generates ${paperGeneratedTokens} tokens. Leave --generate out`)
  }
  const generate = flags.generate ?? (flags.paper ? paperGeneratedTokens : 64)
  const options: BenchOptions = { weights, dtype, cache, prompt, generate, repeat, seed, explain }
  const names = weights === undefined ? flags.model : [weights]
  if (weights === undefined) for (const name of names) checkFits(options, configOf(name))
  const report = reporter()
  checkJson(flags)
  report("measuring the machine")
  await using backend = await openFor(flags, report)
  const { threads = 1, build = "float64, plain loops" } = backend
  const meter = await CeilingMeter.open(backend)
  const rows: Row[] = []
  try {
    for (const name of names) {
      const first = rows.length === 0
      rows.push(await measure(name, backend, options, { first, meter, threads, report }))
    }
  } finally {
    meter.close()
    report.done()
  }
  const result: BenchResult = {
    schema: "elm-bench/1",
    machine: { ...machine(), build, threads, ...meter.ceilings },
    rows,
  }
  const steps = rows.flatMap((row) => (row.steps ? [stepsTable(row, row.steps)] : []))
  await finish([headline(result), table(result), ...steps].join("\n"), result, flags)
}

interface Alone {
  readonly alone?: true
}

async function runNorms(flags: NormFlags & JsonFlag & Alone, command: Command): Promise<void> {
  if (flags.alone) {
    const idle = givenOf(command, ["model", "dtype", "prompt", "generate"])
    if (idle) throw usageError(`--alone has no model, got ${idle}. Leave it out`)
    return tabulate("elm-bench-norm-rows/1", flags, benchNormRows, normRowsTable)
  }
  for (const name of flags.model) checkFits(flags, configOf(name))
  return tabulate("elm-bench-norms/1", flags, benchNorms, normTable)
}
