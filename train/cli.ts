// `elm train` and `elm average`: what a person sees and types of a training run.
import { existsSync } from "node:fs"
import { dirname, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { type Command, Option } from "commander"
import type { BackendName } from "../backends/index.ts"
import { CeilingMeter } from "../bench/ceiling.ts"
import { backendOption, withoutOption } from "../bench/cli.ts"
import { command } from "../bench/command.ts"
import { whileRunning } from "../bench/ending.ts"
import { checkEmpty } from "../bench/files.ts"
import { openFor } from "../bench/open.ts"
import { printable } from "../bench/printable.ts"
import { reporter } from "../bench/progress.ts"
import { folderAtomically, loadTokenizer, pathToWrite, tokenizerIn } from "../model/index.ts"
import { isObject } from "../model/json.ts"
import { averageModels } from "./average.ts"
import { checkpointOf, checkpointsIn, readRunState } from "./checkpoint.ts"
import { readYaml } from "./data/yaml.ts"
import { display, headline, memoryLine, scheduleLine } from "./display_cli.ts"
import { openLog } from "./log.ts"
import {
  checkSettings,
  type Field,
  fields,
  freeFields,
  parseValue,
  type Settings,
  shortened,
  withFlags,
} from "./settings.ts"
import { train } from "./trainer.ts"

interface Flags {
  readonly config?: string
  readonly resume?: string
  readonly backend: BackendName
  readonly revectorise: boolean
  readonly [field: string]: unknown
}

/** Configurations that come with the package. */
const configFolder = fileURLToPath(new URL("../../train/configs/", import.meta.url))
const defaultConfig = "austen"
/** The part of a text that is held out for validation. */
const defaultHeldOut = 0.05

const camel = (field: string): string => field.replace(/_(\w)/g, (_, c: string) => c.toUpperCase())

export function addTrain(program: Command): void {
  const command = program
    .command("train")
    .description("train an OpenELM variant; without options, a small one on Jane Austen's novels")
    .option("--config <name>", "a YAML file, or a configuration of the package", defaultConfig)
    .option("--resume <folder>", "go on from the last checkpoint of a run, or from a checkpoint")
  for (const [field, text] of Object.entries(fields)) {
    const name = field.replaceAll("_", "-")
    const isFlag = field === "checkpoint_activations"
    command.addOption(new Option(isFlag ? `--${name}` : `--${name} <value>`, text))
    if (isFlag) command.addOption(new Option(`--no-${name}`, "where a configuration has it"))
  }
  command
    .addOption(backendOption())
    .addOption(withoutOption())
    .option("--no-revectorise", "leave V8's 256-bit operations off")
    .action((flags: Flags) => run(flags, command))
  program
    .command("average")
    .description("average the weights of checkpoints, as the release did")
    .argument("<out>", "the model folder to write, new or empty")
    .argument("<checkpoints...>", "two or more, or one run for those that it has kept")
    .action(average)
}

async function average(target: string, given: readonly string[]): Promise<void> {
  const out = pathToWrite(target, "<out>")
  const [run] = given as [string]
  const folders = given.length === 1 ? await checkpointsIn(run) : given
  if (folders.length < 2) {
    throw new RangeError(`${run} holds ${folders.length} checkpoints, expected two or more`)
  }
  checkEmpty(out)
  const file = await tokenizerIn(folders[0] as string)
  const tokenizer = file === undefined ? undefined : await loadTokenizer(file)
  await folderAtomically(out, (folder) => averageModels(folders, folder, tokenizer))
  console.log(`${out} holds the average of ${folders.length} checkpoints: ${folders.join(", ")}`)
}

/** Settings from the configuration or the checkpoint, with the flags' values in their places. */
async function settingsOf(flags: Flags, command: Command): Promise<Settings> {
  const given = Object.fromEntries(
    (Object.keys(fields) as Field[]).flatMap((field) => {
      const value = flags[camel(field)]
      if (value === undefined) return []
      return [[field, typeof value === "string" ? parseFlag(field, value) : value]]
    }),
  )
  if (flags.resume === undefined) {
    const [path, base] = await readConfig(flags.config as string)
    const { init } = given
    if (typeof init === "string" && existsSync(init) && (await tokenizerIn(init))) {
      delete base.tokenizer
    }
    const from = Object.keys(given).length > 0 ? "settings" : path
    const all = withFlags(shortened(base, given, path), given)
    const isText = typeof all.data === "string" && !/\.ya?ml$/i.test(all.data)
    const held = isText && all.eval_every !== 0 ? { validation: defaultHeldOut } : {}
    return refuseIdle(checkSettings({ ...held, ...all }, from), given)
  }
  if (command.getOptionValueSource("config") === "cli") {
    throw new RangeError("--resume takes the settings of its run; leave --config out")
  }
  const checkpoint = await checkpointOf(flags.resume)
  const { settings } = await readRunState(checkpoint)
  // A run that was moved goes on where it is now.
  const before: Record<string, unknown> = moved(settings as Settings, dirname(checkpoint))
  for (const [field, value] of Object.entries(given)) {
    if (freeFields.includes(field as Field)) continue
    if (JSON.stringify(before[field]) === JSON.stringify(value)) continue
    throw new RangeError(
      `--${field.replaceAll("_", "-")} is ${JSON.stringify(value)}, the run that is resumed has ` +
        `${JSON.stringify(before[field])}. Leave it out, or start a new run from --init`,
    )
  }
  return refuseIdle(checkSettings({ ...before, ...given }, flags.resume), given)
}

/** Throws RangeError for a flag that would change nothing. */
function refuseIdle(settings: Settings, given: Readonly<Record<string, unknown>>): Settings {
  const { eval_every, sample_every, accumulation, warmup_steps } = settings
  const idle: readonly (readonly [boolean, string, readonly Field[]])[] = [
    [eval_every === 0, "--eval-every is 0", ["eval_batches", "validation"]],
    [sample_every === 0, "--sample-every is 0", ["sample_tokens", "prompt"]],
    [accumulation === 1, "--accumulation is 1", ["accumulate"]],
    [warmup_steps === 0, "--warmup-steps is 0", ["warmup_init_lr"]],
  ]
  for (const [is, why, of] of idle) {
    const field = of.find((field) => given[field] !== undefined)
    if (!is || field === undefined) continue
    throw new RangeError(`--${field.replaceAll("_", "-")} has no effect: ${why}. Leave it out`)
  }
  return settings
}

/** The settings of a run that lies in `out` now; its data, where it came along, is found beside it. */
function moved(settings: Settings, out: string): Settings {
  const { data, out: before } = settings
  if (typeof data !== "string" || existsSync(data) || typeof before !== "string") {
    return { ...settings, out }
  }
  const there = resolve(out, relative(before, data))
  return { ...settings, out, data: existsSync(there) ? there : data }
}

/** A flag's value; its paths count from the working folder, now and when the run is resumed. */
function parseFlag(field: Field, text: string): unknown {
  const value = parseValue(field, text)
  const isPath = ["data", "validation", "init", "tokenizer"].includes(field)
  return isPath && typeof value === "string" && value !== "byte" ? resolve(text) : value
}

/** A configuration file's path and fields; paths in it count from its folder. */
async function readConfig(name: string): Promise<[string, Record<string, unknown>]> {
  const shipped = resolve(configFolder, `${name}.yaml`)
  const path = !/[\\/.]/.test(name) && existsSync(shipped) ? shipped : resolve(name)
  if (!existsSync(path)) {
    throw new Error(`Cannot open ${name}: no such file, and the package has no configuration of it`)
  }
  const json = await readYaml(path)
  if (!isObject(json)) throw new TypeError(`${path}: expected fields, such as steps: 1000`)
  const from = (value: unknown): unknown =>
    typeof value === "string" && value !== "byte" ? resolve(dirname(path), value) : value
  const { data } = json
  const rooted = isObject(data) ? { ...data, root: from(data.root ?? ".") } : from(data)
  const own: Record<string, unknown> = { ...json, ...(data === undefined ? {} : { data: rooted }) }
  for (const key of ["tokenizer", "init", "validation"])
    if (json[key] !== undefined) own[key] = from(json[key])
  return [path, own]
}

async function run(flags: Flags, options: Command): Promise<void> {
  const settings = await settingsOf(flags, options)
  const report = reporter()
  await using backend = await openFor({ ...flags, ...threadsOf(settings) } as Flags)
  const ceiling = CeilingMeter.ofProducts(backend)
  const interrupt = new AbortController()
  const running = whileRunning((reason) => {
    report.done()
    if (reason === "signal") {
      console.error("Saving after this update; Ctrl-C once more ends at once")
    }
    interrupt.abort()
  })
  const onProblem = (message: string): void => {
    report.done()
    console.error(printable(message))
  }
  const from = flags.resume === undefined ? undefined : await checkpointOf(flags.resume)
  const log = await openLog(settings, from, onProblem)
  const show = display(settings, report)
  try {
    const result = await train(settings, {
      backend,
      measureFlops: () => ceiling.measure(),
      signal: interrupt.signal,
      ...(flags.resume === undefined ? {} : { resume: flags.resume }),
      async onStart(info) {
        await log.begin(info.step)
        report.done()
        console.log(headline(info, settings))
        show.begin(info.step)
        const changed = await scheduleLine(info.step, settings, from)
        if (changed) console.log(changed)
      },
      onMemory(memory) {
        report.done()
        console.log(memoryLine(memory, settings))
      },
      async onMetrics(metrics) {
        await log.add(metrics)
        show.line(metrics)
      },
      onDeviceLost(message) {
        report.done()
        console.error(`${message}. Going on from the last checkpoint with another one`)
      },
      onSkip: (message) => onProblem(`skipped: ${message}`),
    })
    report.done()
    if (result.stopped) console.log(`Stopped after update ${result.step}`)
    console.log(await log.plot())
    const { checkpoint } = result
    if (!checkpoint && !result.stopped) {
      console.log(`There was nothing left to do: the run ended with update ${result.step}`)
    }
    if (checkpoint) {
      console.log(
        `${checkpoint} holds the model: ${command} generate "${settings.prompt}" --model ${checkpoint}`,
      )
      if (result.stopped) console.log(`Go on with: ${command} train --resume ${settings.out}`)
    }
  } finally {
    report.done()
    ceiling.close()
    running()
  }
}

const threadsOf = ({ threads }: Settings) => (threads === undefined ? {} : { threads })
