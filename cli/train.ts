// `elm train`: what a person sees and types of a training run.
import type { OpenBackend } from "../backends/index.ts"
import { CeilingMeter } from "../bench/measure/ceiling.ts"
import { downloading } from "../bench/measure/report.ts"
import { printable } from "../model/index.ts"
import { checkpointOf } from "../train/run/checkpoint.ts"
import type { Settings } from "../train/run/fields.ts"
import { openLog } from "../train/run/log.ts"
import type { RunResult } from "../train/run/run.ts"
import { train as trainRun } from "../train/run/train.ts"
import { command } from "./line/command.ts"
import { openFor } from "./line/open.ts"
import { machine } from "./line/options.ts"
import { settingFlags, settingsOf } from "./line/settings.ts"
import { whileRunning } from "./terminal/ending.ts"
import { programName } from "./terminal/invocation.ts"
import { plotText } from "./terminal/plot.ts"
import { reporter } from "./terminal/progress.ts"
import { display } from "./terminal/run.ts"

// A run's threads are a setting of it.
const { threads: _, ...where } = machine

export const train = command({
  name: "train",
  description: "train an OpenELM variant; without options, a small one on Jane Austen's novels",
  flags: { ...settingFlags, ...where },
  after:
    "Defaults are those of --config austen; another configuration has its own.\n\nExamples:\n" +
    "  elm train --data my-texts --steps 300 --out my-run\n" +
    "  elm train --resume my-run --steps 600",
  async run(flags, { given }) {
    const settings = await settingsOf(flags, given("config") !== "")
    await using backend = await openFor({ ...flags, ...threadsOf(settings) })
    await run(settings, backend, flags.resume)
  },
})

/** Trains, with what a person wants to know of it on the way and at the end. */
async function run(
  settings: Settings,
  backend: OpenBackend,
  resume: string | undefined,
): Promise<void> {
  const report = reporter()
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
  const from = resume === undefined ? undefined : await checkpointOf(resume)
  const log = await openLog(settings, from, onProblem)
  try {
    const result = await trainRun(settings, {
      backend,
      measureFlops: () => ceiling.measure(),
      signal: interrupt.signal,
      ...(resume === undefined ? {} : { resume }),
      ...downloading(report),
      ...display(settings, { report, log, from, onProblem }),
    })
    report.done()
    if (result.stopped) console.log(`Stopped after update ${result.step}`)
    console.log(printable(await plotText(await log.draw())))
    for (const line of ending(result, settings)) console.log(printable(line))
  } finally {
    report.done()
    ceiling.close()
    running()
  }
}

/** Where the model is, and what to do with it. */
function ending({ checkpoint, stopped, step }: RunResult, { prompt, out }: Settings): string[] {
  if (!checkpoint) {
    return stopped ? [] : [`There was nothing left to do: the run ended with update ${step}`]
  }
  const generate = `${programName} generate "${prompt}" --model ${checkpoint}`
  return [
    `${checkpoint} holds the model: ${generate}`,
    ...(stopped ? [`Go on with: ${programName} train --resume ${out}`] : []),
  ]
}

const threadsOf = ({ threads }: Settings) => (threads === undefined ? {} : { threads })
