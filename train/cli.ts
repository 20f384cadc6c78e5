// `elm train` and `elm average`: what a person sees and types of a training run.
import { existsSync } from "node:fs"
import type { Command } from "commander"
import type { BackendName } from "../backends/index.ts"
import { path, paths } from "../bench/arguments.ts"
import { CeilingMeter } from "../bench/ceiling.ts"
import { command } from "../bench/command.ts"
import { whileRunning } from "../bench/ending.ts"
import { checkEmpty } from "../bench/files.ts"
import { openFor } from "../bench/open.ts"
import { machineOptions, withOptions } from "../bench/options.ts"
import { printable } from "../bench/printable.ts"
import { reporter } from "../bench/progress.ts"
import { folderAtomically, loadTokenizer, pathToWrite, tokenizerIn } from "../model/index.ts"
import { display, headline, memoryLine, scheduleLine } from "./display_cli.ts"
import { averageModels } from "./run/average.ts"
import { checkpointOf, checkpointsIn } from "./run/checkpoint.ts"
import { openLog } from "./run/log.ts"
import type { Settings } from "./run/settings.ts"
import { train } from "./run/trainer.ts"
import { addSettings, type SettingsFlags, settingsOf } from "./settings_cli.ts"

interface Flags extends SettingsFlags {
  readonly backend: BackendName
  readonly revectorise: boolean
}

export function addTrain(program: Command): void {
  const command = program
    .command("train")
    .description("train an OpenELM variant; without options, a small one on Jane Austen's novels")
  addSettings(command)
  // A run's threads are a setting of it.
  const machine = machineOptions().filter((option) => option.name() !== "threads")
  withOptions(command, machine)
    .addHelpText(
      "after",
      "\nDefaults are those of --config austen; another configuration has its own.\n\nExamples:\n" +
        "  elm train --data my-texts --steps 300 --out my-run\n" +
        "  elm train --resume my-run --steps 600",
    )
    .action((flags: Flags) => run(flags, command))
  program
    .command("average")
    .description("average the weights of checkpoints, as the release did")
    .argument("<out>", "the model folder to write, new or empty", path)
    .argument("<checkpoints...>", "two or more, or one run for those that it has kept", paths)
    .action(average)
}

async function average(target: string, given: readonly string[]): Promise<void> {
  const out = pathToWrite(target, "<out>")
  const [run] = given as [string]
  for (const each of given) if (!existsSync(each)) throw new Error(`There is nothing at ${each}`)
  const folders = given.length === 1 ? await checkpointsIn(run) : given
  if (folders.length < 2) {
    throw new RangeError(`${run} holds ${folders.length} checkpoints, expected two or more`)
  }
  checkEmpty(out)
  const file = await tokenizerIn(folders[0] as string)
  const tokenizer = file === undefined ? undefined : await loadTokenizer(file)
  await folderAtomically(out, (folder) => averageModels(folders, folder, tokenizer))
  const from = `${folders.length} checkpoints: ${folders.join(", ")}`
  console.log(printable(`${out} holds the average of ${from}`))
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
        onProblem(`${message}. Going on from the last checkpoint with another one`)
      },
      onSkip: (message) => onProblem(`skipped: ${message}`),
    })
    report.done()
    if (result.stopped) console.log(`Stopped after update ${result.step}`)
    console.log(printable(await log.plot()))
    const { checkpoint } = result
    if (!checkpoint && !result.stopped) {
      console.log(`There was nothing left to do: the run ended with update ${result.step}`)
    }
    if (checkpoint) {
      const generate = `${command} generate "${settings.prompt}" --model ${checkpoint}`
      console.log(printable(`${checkpoint} holds the model: ${generate}`))
      if (result.stopped) {
        console.log(printable(`Go on with: ${command} train --resume ${settings.out}`))
      }
    }
  } finally {
    report.done()
    ceiling.close()
    running()
  }
}

const threadsOf = ({ threads }: Settings) => (threads === undefined ? {} : { threads })
