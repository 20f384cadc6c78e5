// `elm train`: what a person sees and types of a training run.
import type { Settings } from "../train/run/fields.ts"
import type { RunResult } from "../train/run/run.ts"
import { train as trainRun } from "../train/run/train.ts"
import { command } from "./line/command.ts"
import { openFor } from "./line/open.ts"
import { machine } from "./line/options.ts"
import { performRun } from "./line/run.ts"
import { settingFlags, settingsOf } from "./line/settings.ts"
import { programName } from "./terminal/invocation.ts"
import { trainingView } from "./terminal/training.ts"

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
    await performRun({
      settings,
      backend,
      resume: flags.resume,
      viewOf: (from) => trainingView(settings, from),
      perform: trainRun,
      ending: (result) => ending(result, settings),
    })
  },
})

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
